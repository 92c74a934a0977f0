import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from worldbench.errors import ContractError, DataError
from worldbench.metrics.pose import (
    pose_to_target,
    relative_pose,
    rotation_error,
    rotation_matrix,
    rotation_vector,
    target_to_pose,
    translation_angle,
)


def turns(seed: int, n: int = 200) -> Rotation:
    return Rotation.random(n, rng=np.random.default_rng(seed))


def tensor(values: object) -> Tensor:
    return torch.as_tensor(np.asarray(values, dtype=np.float64))


def poses(seed: int, n: int = 200) -> Tensor:
    out = np.tile(np.eye(4), (n, 1, 1))
    out[:, :3, :3] = turns(seed, n).as_matrix()
    out[:, :3, 3] = np.random.default_rng(seed + 1).normal(0, 3, (n, 3))
    return tensor(out)


def test_relative_pose_takes_points_from_one_camera_to_the_other() -> None:
    a, b = poses(0), poses(1)
    point = torch.cat([torch.randn(200, 3, dtype=torch.float64), torch.ones(200, 1)], dim=1)
    in_a, in_b = (np.linalg.inv(p.numpy()) @ point.numpy()[..., None] for p in (a, b))
    moved = relative_pose(a, b).numpy() @ in_a
    np.testing.assert_allclose(moved, in_b, atol=1e-9)


def test_relative_pose_inverts_float32_matrices_as_they_are() -> None:
    a, b = poses(2).float(), poses(3).float()
    expected = np.linalg.inv(b.double().numpy()) @ a.double().numpy()
    np.testing.assert_allclose(relative_pose(a, b).numpy(), expected, atol=1e-12)


def test_relative_pose_of_a_camera_to_itself_is_the_identity() -> None:
    a = poses(4)
    torch.testing.assert_close(relative_pose(a, a), torch.eye(4).double().expand(200, 4, 4))


def test_rotation_error_agrees_with_scipy() -> None:
    p, t = turns(5), turns(6)
    expected = np.degrees((p.inv() * t).magnitude())
    got = rotation_error(tensor(p.as_matrix()), tensor(t.as_matrix()))
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("radians", [0.0, 1e-12, 1e-9, 1e-5, 1.0, math.pi - 1e-9, math.pi])
def test_rotation_error_keeps_its_digits_at_both_ends(radians: float) -> None:
    axes = np.random.default_rng(7).normal(size=(50, 3))
    axes = np.vstack([axes / np.linalg.norm(axes, axis=1, keepdims=True), np.eye(3), -np.eye(3)])
    base = turns(8, len(axes))
    turned = base * Rotation.from_rotvec(axes * radians)
    got = rotation_error(tensor(base.as_matrix()), tensor(turned.as_matrix()))
    np.testing.assert_allclose(got.numpy(), np.degrees(radians), atol=1e-12)


def test_rotation_error_is_symmetric_and_takes_any_batch() -> None:
    p, t = (tensor(turns(s, 6).as_matrix()).reshape(2, 3, 3, 3) for s in (9, 10))
    forth, back = rotation_error(p, t), rotation_error(t, p)
    assert forth.shape == (2, 3)
    torch.testing.assert_close(forth, back, atol=1e-9, rtol=0)
    assert float(rotation_error(p[0, 0], t[0, 0])) == pytest.approx(float(forth[0, 0]), abs=1e-12)


def test_rotation_vectors_agree_with_scipy_both_ways() -> None:
    spun = turns(11)
    vector = rotation_vector(tensor(spun.as_matrix()))
    np.testing.assert_allclose(vector.numpy(), spun.as_rotvec(), atol=1e-9)
    any_length = np.random.default_rng(12).normal(0, 20, (200, 3))
    matrix = rotation_matrix(tensor(any_length))
    expected = Rotation.from_rotvec(any_length).as_matrix()
    np.testing.assert_allclose(matrix.numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("length", [0.0, 1e-200, 1e-12, 1e-7, 1e-3, 3.0, math.pi - 1e-7])
def test_a_rotation_vector_survives_the_round_trip(length: float) -> None:
    axis = np.random.default_rng(13).normal(size=(50, 3))
    vector = tensor(length * axis / np.linalg.norm(axis, axis=1, keepdims=True))
    back = rotation_vector(rotation_matrix(vector))
    torch.testing.assert_close(back, vector, atol=1e-12, rtol=0)


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, -2, 3)])
def test_half_turns_have_a_vector_of_length_pi(axis: tuple[int, ...]) -> None:
    vector = np.array(axis) / np.linalg.norm(axis) * math.pi
    matrix = tensor(Rotation.from_rotvec(vector).as_matrix())
    found = rotation_vector(matrix)
    assert float(found.norm()) == pytest.approx(math.pi, abs=1e-12)
    torch.testing.assert_close(rotation_matrix(found), matrix, atol=1e-12, rtol=0)


def test_a_matrix_that_is_no_rotation_is_refused() -> None:
    for bad in (1.1 * torch.eye(3), torch.diag(torch.tensor([1.0, 1.0, -1.0])), torch.zeros(3, 3)):
        with pytest.raises(DataError, match="no rotation"):
            rotation_vector(bad)
    with pytest.raises(DataError, match="no rotation"):
        rotation_vector(torch.full((3, 3), torch.nan))


def test_translation_angle_agrees_with_the_arccosine() -> None:
    draw = np.random.default_rng(14)
    for a, b in draw.normal(size=(100, 2, 3)):
        expected = math.degrees(math.acos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
        assert translation_angle(tensor(a), tensor(b)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("degrees", [0.0, 1e-9, 45.0, 90.0, 180.0 - 1e-9, 180.0])
def test_translation_angle_keeps_its_digits_at_both_ends(degrees: float) -> None:
    true, angle = tensor([2.0, 0, 0]), math.radians(degrees)
    predicted = tensor([math.cos(angle), math.sin(angle), 0])
    assert translation_angle(1e-30 * predicted, true) == pytest.approx(degrees, abs=1e-12)


def test_a_camera_that_stands_has_no_direction() -> None:
    assert translation_angle(tensor([1, 0, 0]), tensor([0, 0, 9e-4])) is None
    assert translation_angle(tensor([1, 0, 0]), tensor([0, 0, 9e-4]), min_baseline=1e-4) == 90.0


def test_a_prediction_of_no_motion_scores_as_a_random_one() -> None:
    assert translation_angle(torch.zeros(3), tensor([0, 0, 1])) == 90.0
    true = tensor([0, 0, 1])
    angles = [translation_angle(v, true) for v in tensor(turns(15, 4000).as_matrix()[:, 0])]
    assert np.mean([a for a in angles if a is not None]) == pytest.approx(90, abs=2)


def test_targets_and_poses_are_inverse_to_each_other() -> None:
    pose = poses(16)
    target = pose_to_target(pose)
    np.testing.assert_allclose(target[:, 3:].numpy(), pose[:, :3, 3].numpy())
    torch.testing.assert_close(target_to_pose(target), pose, atol=1e-9, rtol=0)
    assert target_to_pose(target.reshape(10, 20, 6)).shape == (10, 20, 4, 4)
    torch.testing.assert_close(target_to_pose(target[0]), pose[0], atol=1e-9, rtol=0)


def test_any_six_numbers_are_a_rigid_pose() -> None:
    wild = torch.randn(100, 6, generator=torch.Generator().manual_seed(17)) * 50
    turn = target_to_pose(wild)[:, :3, :3]
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3).double().expand(100, 3, 3))
    assert bool((torch.linalg.det(turn) > 0).all())


def test_values_that_are_not_finite_are_refused() -> None:
    holed = torch.full((3,), torch.nan)
    with pytest.raises(ContractError):
        rotation_matrix(holed)
    with pytest.raises(ContractError):
        translation_angle(holed, torch.ones(3))
    with pytest.raises(DataError):
        translation_angle(torch.ones(3), holed)
    with pytest.raises(ContractError):
        target_to_pose(torch.cat([torch.zeros(3), holed]))
    with pytest.raises(DataError):
        relative_pose(torch.eye(4), torch.eye(4) * torch.inf)
