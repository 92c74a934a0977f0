"""Suites and metrics in plain words: what a reader needs before the numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """A suite in plain words: one question, how it is asked, and why guessing does not help."""

    question: str
    asked: tuple[str, ...]
    fair: tuple[str, ...]


_QUADS_FAIR = (
    "The two impossible clips are made of the very frames of the two possible ones, spliced while "
    "the scene is hidden. Whatever a model thinks of single frames, of changes from one frame to "
    "the next or of a future taken by itself counts the same on both sides and cancels. A model "
    "that remembers nothing ties, and a tie counts one half."
)

SUITES: dict[str, About] = {
    "permanence": About(
        "Does a model keep an object in mind while it cannot be seen?",
        (
            "An object passes behind a screen and comes out again, or leaves the view in plain "
            "sight. While it is hidden both clips are the same, pixel for pixel. Spliced there, "
            "they give two impossible clips: an object that vanishes and one that comes from "
            "nowhere. The score is the share of such quads in which the impossible clips surprise "
            "the model more than the possible ones.",
            "How surprise is measured follows from what the model can do: the error of its "
            "denoising, of its predicted latents, or the distance of its samples to what came. "
            "Nobody chooses, and nobody chooses the length of the context.",
            "Beside it, the model's own futures are read: does the object come out on the right "
            "side, and only if it went in?",
        ),
        (
            _QUADS_FAIR,
            "Headline quads are also balanced against scorers that have nothing in mind. Their "
            "scores, from the records, stand below: near one half on the questions that count.",
        ),
    ),
    "consistency3d": About(
        "Does a model expect a place to stay the same while it is not looked at?",
        (
            "A piece of a still scene slides, is swapped or is mirrored while a screen hides it "
            "and the camera passes. The score is the share of quads in which the impossible clips "
            "surprise the model more.",
            "Rollouts are also held against the true geometry: does each foreseen frame show, at "
            "its true camera pose, what the context showed of the place? There 0 is a standing "
            "still of the last frame and 1 is the real future.",
        ),
        (
            _QUADS_FAIR,
            "For the geometry of rollouts, floor and ceiling are measured on the same questions. A "
            "video that stands still satisfies many geometric tests, so what it scores stands "
            "beside every one of them.",
        ),
    ),
    "video_distance": About(
        "How far is the distribution of a model's futures from the real one?",
        (
            "Half of the videos give contexts and the model continues them. The other half is the "
            "reference. Both are turned into features by a frozen network, and the distance "
            "between the two sets of features is the score: Fréchet, extrapolated to infinitely "
            "many clips, and kernel. PSNR and SSIM compare each future with the one that came.",
        ),
        (
            "The floor is a model that repeats the last frame, the ceiling a disjoint set of real "
            "futures of the same size. Distances of different feature networks are never compared, "
            "and a distance with too few clips is not given.",
        ),
    ),
    "probe": About(
        "What do a model's frozen features know?",
        (
            "The model is frozen. Small classifiers are fitted to its features on the training "
            "split of the data and tested on the other. Layer and settings are chosen on a part of "
            "the training split, with the same number of choices for every model.",
        ),
        (
            "Shuffled labels, an untrained twin, raw pixels and single frames go through the same "
            "classifiers. What they reach is no knowledge of the model.",
        ),
    ),
    "intphys": About(
        "Do impossible movies surprise a model more than possible ones?",
        (
            "Matched movies of IntPhys differ in one violation of physics. The score is the share "
            "of pairs in which the impossible movie surprises more, over all context lengths.",
        ),
        (_QUADS_FAIR,),
    ),
    "intphys2": About(
        "Do impossible movies surprise a model more than possible ones?",
        (
            "Matched movies of IntPhys 2 differ in one violation of physics. The score is the "
            "share of pairs in which the impossible movie surprises more, over all contexts.",
        ),
        ("Movies are matched in what they show, so single frames give nothing away.",),
    ),
    "cost": About(
        "What does an answer cost?",
        (
            "Floating-point operations of matrix products, convolutions and attention are counted "
            "on calls of the kinds that the suites make: encoding a clip, foreseeing a second, "
            "saying how surprising a quad is. Context and future have the lengths of this suite's "
            "protocol; other suites ask with lengths of their own, so their answers may cost more "
            "or less. Every model is asked at its own size and frame rate. Counts follow from "
            "shapes and not from the machine.",
            "Nothing here is a score, so nothing is ranked. A model that does less for an answer "
            "may well answer worse.",
        ),
        (),
    ),
}
for _name, _features in (("fvd", "I3D"), ("jedi", "V-JEPA 2")):
    SUITES[_name] = About(
        SUITES["video_distance"].question,
        (f"The protocol of `video_distance` with features of {_features}, as people publish it.",),
        SUITES["video_distance"].fair,
    )

UNKNOWN = About(
    "This suite comes from another package.",
    ("Its protocol stands below, as its records have it.",),
    ("Floors and ceilings stand below, as far as its records hold them.",),
)


def about(suite: str) -> About:
    """Returns a suite in plain words."""
    return SUITES.get(suite, UNKNOWN)
