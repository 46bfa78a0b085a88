#include "common/sim/clip.h"

#include <algorithm>
#include <utility>

#include "common/base/random.h"
#include "common/base/status_macros.h"

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
  clip.poses = task.BodyPoses(clip.states);
  return clip;
}

}  // namespace

absl::StatusOr<std::vector<Clip>> CutClips(const Task& task, const Rollout& rollout, int count,
                                           uint64_t seed) {
  const int k = task.task().clip().steps();
  uint64_t draws = 0;
  const auto below = [&](uint64_t bound) {
    return static_cast<int>(base::SeedOf({seed, draws++}) % bound);
  };
  // the pieces that clips come from, and how many from each
  struct Source {
    size_t environment;
    Piece piece;
    int steps;  // without one that diverged, since the moment after it means nothing
    int clips = 0;
  };
  std::vector<Source> sources;
  std::vector<size_t> places;  // a source for each clip that it has room for, and to move in
  for (size_t i = 0; i < rollout.trajectories.size(); ++i) {
    for (const Piece& piece : PiecesOf(rollout.trajectories[i])) {
      const int steps = piece.steps - (piece.end == experience::End::kDiverged ? 1 : 0);
      if (steps < k) continue;
      places.insert(places.end(), std::max(1, (steps - 1) / k), sources.size());
      sources.push_back({i, piece, steps});
    }
  }
  for (size_t i = places.size(); i > 1; --i) {
    std::swap(places[i - 1], places[below(i)]);
  }
  if (static_cast<int>(places.size()) > count) places.resize(std::max(0, count));
  for (const size_t place : places) ++sources[place].clips;

  std::vector<Clip> clips;
  ASSIGN_OR_RETURN(const auto environment, task.MakeEnvironment());
  for (const Source& source : sources) {
    // the steps between clips, drawn: starts are anywhere, and no two clips overlap
    std::vector<int> gaps(source.clips);
    for (int& gap : gaps) gap = below(source.steps - source.clips * k + 1);
    std::sort(gaps.begin(), gaps.end());
    for (int j = 0; j < source.clips; ++j) {
      Clip& clip = clips.emplace_back(Cut(task, rollout, source.environment, source.piece,
                                          source.piece.first_step + gaps[j] + j * k, k));
      ASSIGN_OR_RETURN(ClipTruth truth, environment->TruthOf(clip.states, clip.actions));
      clip.true_rewards = std::move(truth.true_rewards);
      clip.rubric = std::move(truth.rubric);
    }
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
