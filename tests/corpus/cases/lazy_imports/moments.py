class Moments:
    def predict(self, when: list[str]) -> list[int]:
        from dateutil import parser

        return [parser.parse(text).timetuple().tm_yday for text in when]

    def report(self, when):
        import tabulate

        return tabulate.tabulate([[day] for day in self.predict(when)])

    def upload(self, when, bucket):
        import boto3
        import requests

        requests.get("https://example.org/health", timeout=1)
        boto3.client("s3").put_object(Bucket=bucket, Key="moments", Body=str(self.predict(when)))
