"""Photos on their way into a network."""

import pytest
import torch

from visnet.models.inputs import as_floats, stack


def test_photos_are_read_together_and_checked() -> None:
    class Many(torch.utils.data.Dataset[torch.Tensor]):
        asked: list[list[int]] = []  # noqa: RUF012

        def __getitems__(self, rows: list[int]) -> list[torch.Tensor]:
            self.asked.append(rows)
            return [torch.full((3, 4, 4), row, dtype=torch.uint8) for row in rows]

    assert stack(Many(), [3, 1])[:, 0, 0, 0].tolist() == [3, 1]
    assert Many.asked == [[3, 1]]
    good = torch.zeros(3, 4, 4, dtype=torch.uint8)
    for bad in (torch.zeros(3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.uint8), torch.zeros(3, 4, 5, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="photo 1 of the dataset is"):
            stack([good, bad], [0, 1])  # type: ignore[arg-type]


def test_photos_become_floats_in_0_to_1() -> None:
    photos = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    for channels_last in (True, False):
        assert as_floats(photos, channels_last=channels_last).flatten().tolist() == pytest.approx([0.0, 0.2, 1.0])
