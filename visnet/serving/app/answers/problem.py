"""Why there is no answer."""

from visnet.serving.app.answers.reply import Reply, shown_by


class Problem(Reply):
    """Why there is no answer (RFC 9457)."""

    model_config = shown_by(
        {
            "type": "about:blank",
            "title": "Unsupported Media Type",
            "status": 415,
            "detail": "photo: not an image; JPEG, PNG, WebP, GIF, AVIF, BMP, TIFF and JPEG 2000 are read",
            "request_id": "6f1d0c2b3a495867",
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str
