#include "common/method/batch.h"

#include <cstddef>
#include <numeric>

namespace backflip::method {
namespace {

using Floats = google::protobuf::RepeatedField<float>;

std::vector<float> Rewards(const v1::Trajectory& path, int64_t steps,
                           const nn::RewardModel* model) {
  if (model == nullptr) {
    return {path.true_rewards().begin(), path.true_rewards().end()};
  }
  std::vector<float> rewards(steps);
  model->Score(path.observations().data(), path.actions().data(), steps, rewards.data());
  return rewards;
}

void Append(const Floats& rows, ptrdiff_t first, ptrdiff_t count, ptrdiff_t width,
            std::vector<float>* out) {
  const float* begin = rows.data() + first * width;
  out->insert(out->end(), begin, begin + count * width);
}

}  // namespace

std::vector<learn::Trajectory> MakeBatch(const Rollouts& rollouts, const v1::TaskInfo& task,
                                         const nn::RewardModel* model) {
  const int width = task.observation_size();
  std::vector<learn::Trajectory> batch;
  for (const auto& rollout : rollouts) {
    for (const v1::Trajectory& path : rollout->trajectories()) {
      const int steps = path.log_probs_size();
      const std::vector<float> rewards = Rewards(path, steps, model);
      const auto add = [&](int first, int end, const Floats& last, int last_row,
                           bool episode_ended) {
        learn::Trajectory piece;
        piece.observations.reserve(static_cast<size_t>(end - first + 1) * width);
        Append(path.observations(), first, end - first, width, &piece.observations);
        Append(last, last_row, 1, width, &piece.observations);
        Append(path.actions(), first, end - first, task.action_size(), &piece.actions);
        Append(path.log_probs(), first, end - first, 1, &piece.log_probabilities);
        piece.rewards.assign(rewards.begin() + first, rewards.begin() + end);
        piece.episode_ended = episode_ended;
        batch.push_back(std::move(piece));
      };
      int first = 0;
      for (int i = 0; i < path.episode_ends_size(); ++i) {
        const int end = path.episode_ends(i) + 1;
        add(first, end, path.end_observations(), i, true);
        first = end;
      }
      if (first < steps) add(first, steps, path.last_observation(), 0, false);
    }
  }
  return batch;
}

double MeanReturn(const Rollouts& episodes, const nn::RewardModel* model) {
  double sum = 0;
  for (const auto& episode : episodes) {
    const v1::Trajectory& path = episode->trajectories(0);
    const int64_t steps = model == nullptr ? path.true_rewards_size()
                                           : path.observations_size() / model->observation_size();
    const std::vector<float> rewards = Rewards(path, steps, model);
    sum = std::accumulate(rewards.begin(), rewards.end(), sum);
  }
  return sum / static_cast<double>(episodes.size());
}

}  // namespace backflip::method
