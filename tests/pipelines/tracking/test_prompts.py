"""Hints as they are written, and what is refused."""

import numpy as np
import pytest

from pipelines.errors import BadInput
from pipelines.spans import Span
from pipelines.tracking.prompts import ObjectPrompt, Point, check_prompts

SIZE, FRAMES = (64, 48), Span(10, 30)


def painted(*, width: int = 64, height: int = 48, left: int = 4, right: int = 9) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[5:9, left:right] = True
    return mask


@pytest.mark.parametrize(
    ("text", "frame", "box"),
    [
        ("120,80,60,140@0", 0, (120, 80, 60, 140)),
        (" 1 , 2.5 , 30,4 @ 17 ", 17, (1, 2.5, 30, 4)),
        ("-3,0,10,10@5", 5, (-3, 0, 10, 10)),
    ],
)
def test_a_box_is_written_with_its_frame(text: str, frame: int, box: tuple[float, ...]) -> None:
    prompt = ObjectPrompt.parse(text)
    assert (prompt.frame, prompt.box) == (frame, box)


@pytest.mark.parametrize(
    "text", ["", "1,2,3,4", "1,2,3@4", "1,2,3,4,5@6", "a,b,c,d@0", "1,2,3,4@-1", "1,2,3,4@1.5"]
)
def test_what_is_no_box_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadInput, match="is not a box") as error:
        ObjectPrompt.parse(text)
    assert "@" in error.value.hint


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        (ObjectPrompt(9, box=(1, 1, 10, 10)), "outside the frames 10 to 29"),
        (ObjectPrompt(30, box=(1, 1, 10, 10)), "outside the frames 10 to 29"),
        (ObjectPrompt(12, box=(60, 1, 10, 10)), "not inside the picture of 64x48"),
        (ObjectPrompt(12, box=(-1, 1, 10, 10)), "not inside the picture of 64x48"),
        (ObjectPrompt(12, box=(1, 40, 10, 10)), "not inside the picture of 64x48"),
        (ObjectPrompt(12, box=(1, 1, 0, 10)), "0x10 pixels"),
        (ObjectPrompt(12, points=(Point(64, 3),)), "point 64,3 at frame 12 is not inside"),
        (ObjectPrompt(12, points=(Point(3, 3, on_object=False),)), "marks nothing"),
        (ObjectPrompt(12), "marks nothing"),
        (ObjectPrompt(12, mask=painted(width=60)), "60x48 pixels, and the video 64x48"),
        (ObjectPrompt(12, mask=painted(right=4)), "is empty"),
    ],
)
def test_a_prompt_that_cannot_be_is_refused(prompt: ObjectPrompt, said: str) -> None:
    with pytest.raises(BadInput, match=said) as error:
        check_prompts([prompt], SIZE, FRAMES)
    assert error.value.hint


def test_no_prompt_at_all_is_refused() -> None:
    with pytest.raises(BadInput, match="No prompt marks the object"):
        check_prompts([], SIZE, FRAMES)


def test_prompts_come_in_order_and_one_a_frame() -> None:
    prompts = [
        ObjectPrompt(20, box=(10, 10, 10, 10)),
        ObjectPrompt(12, points=(Point(3, 3),)),
        ObjectPrompt(20, box=(30, 5, 4, 8)),
        ObjectPrompt(20, points=(Point(12, 12),)),
        ObjectPrompt(25, mask=painted()),
        ObjectPrompt(25, mask=painted(left=20, right=22)),
    ]
    first, second, third = check_prompts(prompts, SIZE, FRAMES)
    assert (first.frame, second.frame, third.frame) == (12, 20, 25)
    assert second.box == (10, 5, 24, 15)
    assert second.points == (Point(12, 12),)
    assert np.array_equal(third.mask, painted() | painted(left=20, right=22))


def test_a_click_that_refuses_goes_with_a_box_of_the_same_frame() -> None:
    (prompt,) = check_prompts(
        [ObjectPrompt(12, points=(Point(3, 3, on_object=False),)), ObjectPrompt(12, box=(1, 1, 9, 9))],
        SIZE,
        FRAMES,
    )
    assert prompt.box == (1, 1, 9, 9)
    assert prompt.points == (Point(3, 3, on_object=False),)
