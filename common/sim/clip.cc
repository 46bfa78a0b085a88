#include "common/sim/clip.h"

#include <algorithm>
#include <utility>

#include "common/base/random.h"

namespace backflip::sim {
namespace {

using experience::Clip;
using experience::Piece;

template <typename T>
std::vector<T> Rows(const std::vector<T>& rows, int first, int count, int width) {
  const auto begin = rows.begin() + static_cast<ptrdiff_t>(first) * width;
  return std::vector<T>(begin, begin + static_cast<ptrdiff_t>(count) * width);
}

// Steps `first` to `first + steps` of an environment's trajectory, within the piece.
Clip Cut(const Task& task, const Rollout& rollout, size_t environment, const Piece& piece,
         int first, int steps) {
  const experience::Trajectory& trajectory = rollout.trajectories[environment];
  const Recording& recording = rollout.recordings[environment];
  Clip clip;
  clip.steps = steps;
  clip.observations =
      Moments(piece, first, steps + 1, task.observation_size(), trajectory.observations,
              trajectory.end_observations, trajectory.last_observation);
  clip.states = Moments(piece, first, steps + 1, task.state_size(), recording.states,
                        recording.end_states, recording.last_state);
  clip.actions = Rows(trajectory.actions, first, steps, task.action_size());
  if (!trajectory.true_rewards.empty()) {
    clip.true_rewards = Rows(trajectory.true_rewards, first, steps, 1);
  }
  clip.poses = task.BodyPoses(clip.states);
  return clip;
}

}  // namespace

std::vector<Clip> CutClips(const Task& task, const Rollout& rollout, int count, uint64_t seed) {
  const int k = task.task().clip().steps();
  uint64_t draws = 0;
  const auto below = [&](uint64_t bound) {
    return static_cast<int>(base::SeedOf({seed, draws++}) % bound);
  };
  // tile each piece from a random offset, then take tiles in random order
  struct Place {
    size_t environment;
    Piece piece;
    int first;
  };
  std::vector<Place> places;
  for (size_t i = 0; i < rollout.trajectories.size(); ++i) {
    for (const Piece& piece : PiecesOf(rollout.trajectories[i])) {
      if (piece.steps < k) continue;
      const int tiles = piece.steps / k;
      const int offset = below(piece.steps - tiles * k + 1);
      for (int j = 0; j < tiles; ++j) {
        places.push_back({i, piece, piece.first_step + offset + j * k});
      }
    }
  }
  for (size_t i = places.size(); i > 1; --i) {
    std::swap(places[i - 1], places[below(i)]);
  }
  if (static_cast<int>(places.size()) > count) places.resize(std::max(0, count));

  std::vector<Clip> clips;
  for (const Place& place : places) {
    clips.push_back(Cut(task, rollout, place.environment, place.piece, place.first, k));
  }
  return clips;
}

ClipBytes BytesOfClips(const Task& task) {
  const int64_t moments = task.task().clip().steps() + 1;
  const int64_t picture = moments * task.bodies() * 7 * sizeof(float);
  const int64_t numbers = task.observation_size() + task.action_size() + 1;
  return {picture, picture + moments * (numbers * static_cast<int64_t>(sizeof(float)) +
                                        task.state_size() * static_cast<int64_t>(sizeof(double)))};
}

Clip FirstEpisode(const Task& task, const Rollout& rollout, int most_steps) {
  const Piece piece = PiecesOf(rollout.trajectories.front()).front();
  return Cut(task, rollout, 0, piece, 0, std::min(piece.steps, most_steps));
}

}  // namespace backflip::sim
