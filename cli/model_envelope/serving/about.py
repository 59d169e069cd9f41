def about(envelope):
    return {"digest": envelope.digest, **envelope.description.to_document()}
