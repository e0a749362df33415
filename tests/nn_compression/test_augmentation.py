import numpy as np
import torch

from nn_compression.training.augmentation import pad_crop_flip


def crops(image: np.ndarray) -> dict[bytes, tuple[int, int, bool]]:
    """Every crop of the padded image and of its mirror image."""
    _, height, width = image.shape
    found = {}
    padded = np.pad(image, ((0, 0), (4, 4), (4, 4)))
    for top in range(9):
        for left in range(9):
            cut = padded[:, top : top + height, left : left + width]
            found[cut.tobytes()] = (top, left, False)
            found[np.ascontiguousarray(cut[:, :, ::-1]).tobytes()] = (top, left, True)
    return found


def test_each_image_is_one_of_its_own_crops_and_all_kinds_occur() -> None:
    images = torch.randn(300, 2, 6, 5, generator=torch.Generator().manual_seed(0))
    altered = pad_crop_flip(images, torch.Generator().manual_seed(1))
    kinds = [
        crops(image)[np.ascontiguousarray(new).tobytes()]
        for image, new in zip(images.numpy(), altered.numpy(), strict=True)
    ]
    assert {top for top, _, _ in kinds} == {left for _, left, _ in kinds} == set(range(9))
    assert 110 < sum(flipped for _, _, flipped in kinds) < 190


def test_the_seed_decides() -> None:
    images = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    first, second, other = (pad_crop_flip(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.equal(second) and not first.equal(other)
