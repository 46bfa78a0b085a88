#include "common/learn/novelty.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "common/learn/torch_runtime.h"
#include "common/options/run_spec.h"
#include "gtest/gtest.h"
#include "tests/unit/common/learn/linear_task.h"

namespace backflip::learn {
namespace {

using experience::Batch;
using experience::Trajectory;

Trajectory Of(std::vector<float> observations, int size) {
  Trajectory t;
  t.steps = static_cast<int32_t>(observations.size()) / size;
  t.observations = std::move(observations);
  return t;
}

Batch RandomBatch(uint64_t seed, int trajectories, int steps, int size) {
  KeyedRandom random(seed, 3);
  Batch batch;
  for (int i = 0; i < trajectories; ++i) {
    std::vector<float> observations(steps * size);
    for (float& value : observations) value = Normal(&random);
    batch.trajectories.push_back(Of(std::move(observations), size));
  }
  return batch;
}

// log(1 + the distance to the 5th nearest other row), each number in its deviations.
double Expected(const std::vector<float>& rows, int size, int row) {
  const size_t count = rows.size() / size;
  std::vector<double> deviations(size);
  for (int i = 0; i < size; ++i) {
    double mean = 0, squares = 0;
    for (size_t r = 0; r < count; ++r) mean += rows[r * size + i] / count;
    for (size_t r = 0; r < count; ++r) squares += std::pow(rows[r * size + i] - mean, 2) / count;
    deviations[i] = std::sqrt(squares);
  }
  std::vector<double> distances;
  for (size_t r = 0; r < count; ++r) {
    double squares = 0;
    for (int i = 0; i < size; ++i) {
      squares += std::pow((rows[row * size + i] - rows[r * size + i]) / deviations[i], 2);
    }
    if (static_cast<int>(r) != row) distances.push_back(std::sqrt(squares));
  }
  std::sort(distances.begin(), distances.end());
  return std::log1p(distances[4]);
}

TEST(Novelty, IsTheDistanceToTheFifthNearestOtherMoment) {
  SetUpTorch();
  const Batch batch = RandomBatch(1, 4, 200, 3);  // fewer than are compared with
  Novelty novelty(7, 3);
  EXPECT_EQ(novelty.Score(batch.trajectories[0]), std::vector<float>(200, 0)) << "nothing is known";
  novelty.Observe(batch);
  std::vector<float> rows;
  for (const Trajectory& t : batch.trajectories) {
    rows.insert(rows.end(), t.observations.begin(), t.observations.end());
  }
  for (int trajectory = 0; trajectory < 4; ++trajectory) {
    const std::vector<float> rewards = novelty.Score(batch.trajectories[trajectory]);
    ASSERT_EQ(rewards.size(), 200u);
    for (int t = 0; t < 200; t += 7) {
      EXPECT_NEAR(rewards[t], Expected(rows, 3, 200 * trajectory + t), 2e-3);
    }
  }
}

TEST(Novelty, RemembersEarlierBatchesAndIsTheSameInAnyUnit) {
  SetUpTorch();
  const auto after = [](float unit, bool wide_before) {
    const auto scaled = [unit](Batch batch, float by) {
      for (Trajectory& t : batch.trajectories) {
        for (float& value : t.observations) value *= by * unit;
      }
      return batch;
    };
    Novelty novelty(7, 2);
    novelty.Observe(scaled(RandomBatch(1, 16, 512, 2), wide_before ? 10 : 1));
    novelty.Observe(scaled(RandomBatch(2, 16, 512, 2), 1));
    // a corner that only a wide batch has been to, as both see it
    return novelty.Score(Of({4 * unit, -4 * unit}, 2))[0] /
           novelty.Score(scaled(RandomBatch(3, 1, 1, 2), 1).trajectories[0])[0];
  };
  EXPECT_LT(after(1, true), 0.7 * after(1, false));
  EXPECT_NEAR(after(1, false), after(100, false), 0.05 * after(1, false));
}

TEST(Novelty, GoesOnExactlyFromASavedState) {
  SetUpTorch();
  Novelty before(7, 3);
  for (int batch = 0; batch < 3; ++batch) before.Observe(RandomBatch(batch, 4, 512, 3));
  nn::Snapshot saved;
  before.Save(&saved);
  const auto state = nn::Snapshot::Decode(saved.Encode());
  ASSERT_TRUE(state.ok()) << state.status();
  ASSERT_TRUE(Novelty::IsIn(*state));
  Novelty after(7, 3);
  ASSERT_TRUE(after.Load(*state).ok());
  const Batch next = RandomBatch(9, 4, 512, 3);
  before.Observe(next);
  after.Observe(next);
  EXPECT_EQ(before.Score(next.trajectories[1]), after.Score(next.trajectories[1]));
  EXPECT_FALSE(Novelty(7, 2).Load(*state).ok());
  EXPECT_FALSE(Novelty::IsIn({}));
}

// A walker on a line, whose place is bounded by ± 10. The policy sees it.
Batch Walk(const Algorithm& algorithm, uint64_t seed, double* spread) {
  const auto policy = PolicyOf(algorithm);
  KeyedRandom random(seed, 23);
  Batch batch{0, std::vector<Trajectory>(16)};
  double squares = 0;
  for (Trajectory& t : batch.trajectories) {
    float noise = 0, place = 0;
    for (; t.steps < 64; ++t.steps) {
      const float normal = Normal(&random);
      float action;
      t.log_probs.push_back(policy->Act(&place, &normal, &noise, &action));
      t.observations.push_back(place);
      t.actions.push_back(action);
      place = std::clamp(place + std::clamp(action, -1.0f, 1.0f), -10.0f, 10.0f);
      squares += place * place;
    }
    t.episode_ends = {{63, experience::End::kTimeLimit}};
    t.end_observations = t.last_observation = {place};
  }
  *spread = std::sqrt(squares / (16 * 64));
  return batch;
}

TEST(Novelty, SpreadsAPolicyFurtherThanItsNoise) {
  SetUpTorch();
  v1::RunSpec spec = options::DefaultRunSpec();
  spec.mutable_ppo()->set_minibatch_steps(128);
  spec.mutable_ppo()->set_learning_rate(3e-3);
  auto algorithm = MakeAlgorithm(spec, {1, 1, 1});
  ASSERT_TRUE(algorithm.ok()) << algorithm.status();
  Novelty novelty(spec.seed(), 1);
  double first = 0, last = 0;
  for (int i = 0; i < 20; ++i) {
    const Batch batch = Walk(**algorithm, i, i == 0 ? &first : &last);
    novelty.Observe(batch);
    ASSERT_TRUE((*algorithm)->Observe(batch).ok());
    ASSERT_TRUE((*algorithm)->Improve(novelty, 0).ok());
  }
  EXPECT_GT(last, 1.5 * first);
}

}  // namespace
}  // namespace backflip::learn
