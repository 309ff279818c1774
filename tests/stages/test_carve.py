"""The animation: what each frame shows, of which priors and networks, and how large the file gets."""

import json

import numpy as np
import pytest
from legible import legible
from matplotlib.colors import to_hex
from PIL import Image

from sparsify.settings import InputError
from stages import carve, carve_picture, film, style

ALPHAS = np.array([[-3.0, -2.0, -1.0, -4.0], [-3.0, 2.0, -1.0, 5.0], [3.0, 2.0, -1.0, 5.0]], dtype=np.float16)  # (frames, units)


@pytest.fixture
def frames():
    filters = np.linspace(-1, 1, 3 * 4 * 5 * 5).reshape(3, 4, 5, 5).astype(np.float16)
    matrix_alpha = np.repeat(ALPHAS[:, :, None], 6, 2)
    pixels = np.tile(np.linspace(-2, 2, 25).reshape(1, 5, 5), (3, 1, 1)).astype(np.float16)
    return {"epoch": np.array([0, 5, 10]), "units/fc1": ALPHAS, "units/fc2": -np.ones((3, 7), np.float16), "filters": filters,
            "filters_alpha": np.broadcast_to(ALPHAS[:, :, None, None], filters.shape), "matrix": np.ones((3, 4, 6), np.float16),
            "matrix_alpha": matrix_alpha, "pixels": pixels, "pixels_leave": np.array([True] * 3), "image": np.ones((5, 5), np.float16)}


def panel(figure, label):
    return next(axes for axes in figure.axes if axes.get_label() == label)


def test_every_frame_shows_what_is_left_at_the_threshold(frames):
    figure, update = carve_picture.picture(frames, 0.0)
    for number, kept in enumerate((4, 2, 1)):
        update(number)
        bars = [bar.get_width() for bar in panel(figure, "layers").patches if to_hex(bar.get_facecolor()).upper() == style.COMPACT.color]
        assert bars == [25 * kept, 100]
        assert [text.get_text() for text in panel(figure, "layers").texts] == [f"{25 * kept} %", "100 %"]
        matrix = panel(figure, "matrix").images[0].get_array()
        assert (~np.ma.getmaskarray(matrix)).sum() == 6 * kept
        filters = panel(figure, "filters").images[0].get_array()
        assert (~np.ma.getmaskarray(filters)).sum() == 25 * kept
        assert (~np.ma.getmaskarray(panel(figure, "pixels").images[0].get_array())).sum() == 13
        heights = {bar.get_x(): bar.get_height() for bar in panel(figure, "alphas").patches}
        assert sum(heights.values()) == pytest.approx(100)
        below = sum(height for x, height in heights.items() if x < 0)
        assert below == pytest.approx(100 * (kept + 7) / 11)
        assert figure._suptitle.get_text() == f"The network after epoch {frames['epoch'][number]} of 10"
    legible(figure)


def test_bars_of_the_histogram_are_blue_where_their_units_stay(frames):
    figure, _ = carve_picture.picture(frames, 0.0)
    for bar in panel(figure, "alphas").patches:
        assert to_hex(bar.get_facecolor()).upper() == (style.BLUE if bar.get_x() + bar.get_width() <= 1e-9 else style.GREY)


def test_a_network_of_single_weights_and_one_without_pictures_are_drawn(frames):
    weights = {"epoch": frames["epoch"], "weights/fc1.weight": ALPHAS, "matrix": frames["matrix"], "matrix_alpha": frames["matrix_alpha"]}
    figure, _ = carve_picture.picture(weights, 0.0)
    assert {axes.get_label() for axes in figure.axes} == {"matrix", "alphas", "layers"}
    assert panel(figure, "alphas").get_ylabel() == "% of the weights"
    legible(figure)
    legible(carve_picture.picture({"epoch": frames["epoch"], "units/fc1": ALPHAS}, 0.0)[0])


def test_many_layers_stand_side_by_side_and_shrink(frames):
    many = {f"units/conv{number}": np.full((3, 4), number - 6.5, np.float16) - 2 + ALPHAS for number in range(14)}
    figure, update = carve_picture.picture({"epoch": frames["epoch"], "filters": frames["filters"][:, :, :3, :3],
                                            "filters_alpha": frames["filters_alpha"][:, :, :3, :3], **many}, 0.0)
    for number in range(3):
        update(number)
        bars = [bar.get_height() for bar in panel(figure, "layers").patches if to_hex(bar.get_facecolor()).upper() == style.COMPACT.color]
        assert bars == [100 * (alphas[number] <= 0).mean() for alphas in many.values()]
    assert bars[0] > bars[-1] == 0
    assert panel(figure, "filters").get_title(loc="left") == "4 filters of the first layer"
    legible(figure)


def test_where_pixels_cannot_leave_the_weight_on_them_is_shown(frames):
    figure, _ = carve_picture.picture(frames | {"pixels_leave": np.array([False] * 3)}, 0.0)
    assert panel(figure, "pixels").get_title(loc="left") == "weight on each pixel"


@pytest.mark.parametrize("name", ["carved.webp", "carved.gif"])
def test_the_animation_has_every_frame_and_the_last_one_stays(name, frames, tmp_path):
    size = carve.carve(frames, 0.0, tmp_path / name, 1 << 20)
    assert size == (tmp_path / name).stat().st_size <= 1 << 20
    with Image.open(tmp_path / name) as image:
        assert image.n_frames == 3 and image.size[0] <= 900
        durations = []
        for number in range(3):
            image.seek(number)
            image.load()
            durations.append(image.info["duration"])
    assert durations == [film.SLOWEST, film.SLOWEST, film.LAST]
    assert [film._milliseconds(count) for count in (13, 49, 1000)] == [384, 110, 110]


def test_it_gets_as_small_as_is_asked_or_says_that_it_cannot(frames, tmp_path):
    most = carve.carve(frames, 0.0, tmp_path / "first.webp", 1 << 20) - 1
    assert carve.carve(frames, 0.0, tmp_path / "second.webp", most) <= most
    with pytest.raises(InputError, match=r"3 frames take [\d,]+ bytes, and may take 100; lower bayesian\.snapshots"):
        carve.carve(frames, 0.0, tmp_path / "third.webp", 100)
    assert not (tmp_path / "third.webp").exists()


def test_a_run_without_frames_and_a_name_of_another_kind_are_refused(frames, tmp_path):
    with pytest.raises(InputError, match=r"has no frames; run dvc exp run -S bayesian\.snapshots=48"):
        carve.carve({}, 0.0, tmp_path / "carved.webp", 1 << 20)
    with pytest.raises(InputError, match=r"has to end in \.webp or \.gif"):
        carve.carve(frames, 0.0, tmp_path / "carved.mp4", 1 << 20)


def test_the_threshold_is_that_of_the_cut_where_it_was_one_of_log_alpha(tmp_path):
    path = tmp_path / "prune.json"
    assert film.cut_at(path, "log_alpha") == 0
    path.write_text(json.dumps({"prune": {"threshold": 0.7}}))
    assert (film.cut_at(path, "log_alpha"), film.cut_at(path, "evidence")) == (0.7, 0)
