"""What the model derives from a flight before it decides.

The fitted model calls :func:`add_features`, so it needs this file wherever it runs. The envelope takes it along.
"""

import pandas as pd


def add_features(flights: pd.DataFrame) -> pd.DataFrame:
    """Turn flights as they are asked about into what the classifier learns from: one row each, in the same order.

    The day becomes a weekday, clock times become minutes and the year in which the plane was built becomes its age,
    which stays unknown (NaN) where the year is.
    """
    days = pd.to_datetime(flights[["year", "month", "day"]])
    return flights.drop(columns=["year", "month", "day", "plane_year", "plane_seats"]).assign(
        weekday=days.dt.day_of_week,
        sched_dep_time=minutes_since_midnight(flights["sched_dep_time"]),
        sched_arr_time=minutes_since_midnight(flights["sched_arr_time"]),
        plane_age=(flights["year"] - flights["plane_year"]).astype("float64"),
        plane_seats=flights["plane_seats"].astype("float64"),
    )


def minutes_since_midnight(times: pd.Series) -> pd.Series:
    """Convert clock times written as integers: 1545 is a quarter to four in the afternoon, 945 minutes."""
    return times // 100 * 60 + times % 100
