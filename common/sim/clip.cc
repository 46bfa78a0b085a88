#include "common/sim/clip.h"

#include <algorithm>
#include <utility>

#include "common/base/random.h"
#include "common/sim/mujoco/mujoco_handles.h"

namespace backflip::sim {
namespace {

// An uninterrupted piece of a trajectory.
struct Piece {
  int environment;
  int first_step;
  int steps;
  int end_index;  // among the ended episodes; -1: the ticket ended it
};

std::vector<Piece> Pieces(const Trajectory& trajectory, int environment, int steps) {
  std::vector<Piece> pieces;
  int first = 0;
  for (size_t i = 0; i < trajectory.episode_ends.size(); ++i) {
    const int next = trajectory.episode_ends[i] + 1;
    pieces.push_back({environment, first, next - first, static_cast<int>(i)});
    first = next;
  }
  if (first < steps) pieces.push_back({environment, first, steps - first, -1});
  return pieces;
}

// Rows first to first + count of `rows`, where the row after the piece is kept
// elsewhere: among the ends, or as the last.
template <typename T>
std::vector<T> Moments(const Piece& piece, int first, int count, int width,
                       const std::vector<T>& rows, const std::vector<T>& ends,
                       const std::vector<T>& last) {
  const int after = piece.first_step + piece.steps;
  const int plain = std::min(first + count, after) - first;
  const auto begin = rows.begin() + static_cast<ptrdiff_t>(first) * width;
  std::vector<T> result(begin, begin + static_cast<ptrdiff_t>(plain) * width);
  if (plain < count) {
    const auto row = piece.end_index < 0
                         ? last.begin()
                         : ends.begin() + static_cast<ptrdiff_t>(piece.end_index) * width;
    result.insert(result.end(), row, row + width);
  }
  return result;
}

template <typename T>
std::vector<T> Rows(const std::vector<T>& rows, int first, int count, int width) {
  const auto begin = rows.begin() + static_cast<ptrdiff_t>(first) * width;
  return std::vector<T>(begin, begin + static_cast<ptrdiff_t>(count) * width);
}

int Steps(const CompiledTask& task, const Trajectory& trajectory) {
  return static_cast<int>(trajectory.actions.size()) / task.action_size();
}

Clip Cut(const CompiledTask& task, const Rollout& rollout, const Piece& piece, int first,
         int steps) {
  const Trajectory& trajectory = rollout.trajectories[piece.environment];
  const Truth& truth = rollout.truths[piece.environment];
  const Recording& recording = rollout.recordings[piece.environment];
  Clip clip;
  clip.steps = steps;
  clip.observations =
      Moments(piece, first, steps + 1, task.observation_size(), trajectory.observations,
              trajectory.end_observations, trajectory.last_observation);
  clip.states = Moments(piece, first, steps + 1, task.state_size(), recording.states,
                        recording.end_states, recording.last_state);
  clip.actions = Rows(trajectory.actions, first, steps, task.action_size());
  if (!truth.true_rewards.empty()) {
    clip.true_rewards = Rows(truth.true_rewards, first, steps, 1);
  }
  clip.poses = BodyPoses(task, clip.states);
  return clip;
}

}  // namespace

std::vector<Clip> CutClips(const CompiledTask& task, const Rollout& rollout, int count,
                           uint64_t seed) {
  const int k = task.task().clip().steps();
  uint64_t draws = 0;
  const auto below = [&](uint64_t bound) {
    return static_cast<int>(base::SeedOf({seed, draws++}) % bound);
  };
  // tile each piece from a random offset, then take tiles in random order
  struct Place {
    Piece piece;
    int first;
  };
  std::vector<Place> places;
  for (size_t i = 0; i < rollout.trajectories.size(); ++i) {
    const Trajectory& trajectory = rollout.trajectories[i];
    for (const Piece& piece : Pieces(trajectory, static_cast<int>(i), Steps(task, trajectory))) {
      if (piece.steps < k) continue;
      const int tiles = piece.steps / k;
      const int offset = below(piece.steps - tiles * k + 1);
      for (int j = 0; j < tiles; ++j) {
        places.push_back({piece, piece.first_step + offset + j * k});
      }
    }
  }
  for (size_t i = places.size(); i > 1; --i) {
    std::swap(places[i - 1], places[below(i)]);
  }
  if (static_cast<int>(places.size()) > count) places.resize(std::max(0, count));

  std::vector<Clip> clips;
  for (const auto& [piece, first] : places) {
    clips.push_back(Cut(task, rollout, piece, first, k));
  }
  return clips;
}

Clip FirstEpisode(const CompiledTask& task, const Rollout& rollout, int most_steps) {
  const Piece piece =
      Pieces(rollout.trajectories.front(), 0, Steps(task, rollout.trajectories.front())).front();
  return Cut(task, rollout, piece, 0, std::min(piece.steps, most_steps));
}

std::vector<float> BodyPoses(const CompiledTask& task, absl::Span<const double> states) {
  const mjModel* model = task.model();
  const DataPtr data(mj_makeData(model));
  std::vector<float> poses;
  const size_t moments = states.size() / task.state_size();
  poses.reserve(moments * task.bodies() * 7);
  for (size_t i = 0; i < moments; ++i) {
    mj_setState(model, data.get(), &states[i * task.state_size()], mjSTATE_FULLPHYSICS);
    mj_kinematics(model, data.get());
    for (int body = 1; body < model->nbody; ++body) {
      for (int j = 0; j < 3; ++j) {
        poses.push_back(static_cast<float>(data->xpos[3 * body + j]));
      }
      for (int j = 0; j < 4; ++j) {
        poses.push_back(static_cast<float>(data->xquat[4 * body + j]));
      }
    }
  }
  return poses;
}

}  // namespace backflip::sim
