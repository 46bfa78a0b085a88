// Experience: what an environment did under a policy. Learned rewards are no part of
// it: a reward function is handed in when something is learned from it.
//
// Arrays are row-major. C++17, so that code with LibTorch can use it.
#ifndef BACKFLIP_COMMON_EXPERIENCE_TRAJECTORY_H_
#define BACKFLIP_COMMON_EXPERIENCE_TRAJECTORY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace backflip::experience {

// Why a piece of experience ends.
enum class End : uint8_t {
  kNone,       // it does not: the trajectory ends first, and the episode goes on
  kTimeLimit,  // what would have followed still has a value
  kTerminal,   // the task ended the episode: nothing follows
  kDiverged,   // the physics became unstable: the last observation means nothing
};

struct EpisodeEnd {
  int32_t step = 0;  // 0-based: the step that ended the episode
  End reason = End::kTimeLimit;

  friend bool operator==(const EpisodeEnd& a, const EpisodeEnd& b) {
    return a.step == b.step && a.reason == b.reason;
  }
};

// Consecutive steps of one environment, which may hold several episodes: the step
// after an episode's end begins a new one.
struct Trajectory {
  int32_t steps = 0;
  std::vector<float> observations;  // [steps, observation_size]: what each action was chosen on
  std::vector<float> actions;       // [steps, action_size], as sampled, not clipped
  // [steps]: log-probability of each action under the policy that acted; empty for
  // an evaluation.
  std::vector<float> log_probs;
  std::vector<EpisodeEnd> episode_ends;  // by step
  std::vector<float> end_observations;   // [episode_ends, observation_size]: the last of each
  std::vector<float> last_observation;   // [observation_size]: after the last step, before a reset
  // [steps]; empty where the task has none, and wherever they must not be seen: only
  // teachers, charts and runs with `reward: TRUE` may.
  std::vector<float> true_rewards;
};

// What one iteration of a run collected, in the order of its tickets.
struct Batch {
  int64_t iteration = 0;
  std::vector<Trajectory> trajectories;
};

// Consecutive steps of one episode, a part of a trajectory.
struct Piece {
  int32_t first_step = 0;
  int32_t steps = 0;
  End end = End::kNone;
  int32_t end_index = -1;  // in episode_ends; -1: the trajectory ended first
};

// Cuts a trajectory where episodes ended, in order. Pieces have at least one step.
// Nothing else cuts trajectories.
inline std::vector<Piece> PiecesOf(const Trajectory& trajectory) {
  std::vector<Piece> pieces;
  int32_t first = 0;
  for (size_t i = 0; i < trajectory.episode_ends.size(); ++i) {
    const EpisodeEnd& end = trajectory.episode_ends[i];
    pieces.push_back({first, end.step + 1 - first, end.reason, static_cast<int32_t>(i)});
    first = end.step + 1;
  }
  if (first < trajectory.steps) pieces.push_back({first, trajectory.steps - first, End::kNone, -1});
  return pieces;
}

// Rows `first` to `first + count` of `rows` [steps, width], all within the piece. One
// more may be asked for, the moment after its last step, which is kept in `ends`
// [episode ends, width] or as `last` [width].
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

}  // namespace backflip::experience

#endif  // BACKFLIP_COMMON_EXPERIENCE_TRAJECTORY_H_
