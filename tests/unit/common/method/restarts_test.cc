#include "common/method/restarts.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "common/method/batches.h"
#include "common/options/run_spec.h"
#include "gtest/gtest.h"

namespace backflip::method {
namespace {

constexpr int kEnvironments = 16;

v1::TaskInfo Task(int episode_steps, int clip_steps) {
  v1::TaskInfo task;
  task.set_episode_steps(episode_steps);
  task.set_clip_steps(clip_steps);
  return task;
}

v1::RunSpec Spec(double share) {
  v1::RunSpec spec = options::DefaultRunSpec();
  spec.mutable_collection()->set_restart_share(share);
  spec.mutable_collection()->set_initial_episode_share(1);
  spec.mutable_collection()->set_environments(kEnvironments);
  spec.mutable_collection()->set_batch_steps(kEnvironments * 100);
  return spec;
}

std::vector<int32_t> Ages() {
  std::vector<int32_t> ages(kEnvironments);
  for (int e = 0; e < kEnvironments; ++e) ages[e] = 7 * e % kEnvironments * 10;
  return ages;
}

TEST(PlanRestarts, AreTheShareOfTheEpisodesThatBegin) {
  const v1::TaskInfo task = Task(400, 60);
  for (const double share : {0.1, 0.25, 1.0}) {
    double restarts = 0;
    for (int batch = 1; batch <= 400; ++batch) {
      restarts += PlanRestarts(Spec(share), task, batch, Ages()).size();
    }
    // 16 environments with 100 of an episode's 400 steps in each batch begin 4
    EXPECT_NEAR(restarts / 400, 4 * share, 0.1) << share;
  }
}

TEST(PlanRestarts, AreOfTheOldestEpisodesAndOneForAnEnvironmentAtMost) {
  const std::vector<int32_t> ages = Ages();
  for (int batch = 1; batch < 50; ++batch) {
    std::set<int> restarted;
    int youngest = 1000;
    for (const Restart& restart : PlanRestarts(Spec(1), Task(150, 60), batch, ages)) {
      EXPECT_TRUE(restarted.insert(restart.environment).second);
      youngest = std::min(youngest, ages[restart.environment]);
    }
    ASSERT_GE(restarted.size(), 10u);
    for (int e = 0; e < kEnvironments; ++e) {
      EXPECT_TRUE(restarted.count(e) > 0 || ages[e] <= youngest);
    }
  }
  EXPECT_EQ(PlanRestarts(Spec(1), Task(10, 60), 1, ages).size(), size_t{kEnvironments});
}

TEST(PlanRestarts, AreHalfOfPreferredClipsAndShortlyBeforeTheirEnds) {
  int preferred = 0, all = 0;
  std::set<int> steps, short_steps;
  std::set<uint64_t> seeds;
  for (int batch = 1; batch < 400; ++batch) {
    for (const Restart& restart : PlanRestarts(Spec(1), Task(200, 60), batch, Ages())) {
      preferred += restart.moment.preferred();
      steps.insert(restart.moment.steps_before_end());
      seeds.insert(restart.rng_seed);
      ++all;
    }
    for (const Restart& restart : PlanRestarts(Spec(1), Task(200, 8), batch, Ages())) {
      short_steps.insert(restart.moment.steps_before_end());
    }
  }
  EXPECT_NEAR(preferred / static_cast<double>(all), 0.5, 0.05);
  EXPECT_EQ(*steps.begin(), 5);
  EXPECT_EQ(*steps.rbegin(), 40);
  EXPECT_EQ(steps.size(), 36u);
  EXPECT_EQ(*short_steps.rbegin(), 8) << "no clip is shorter";
  EXPECT_EQ(seeds.size(), static_cast<size_t>(all));
}

TEST(PlanRestarts, AreNoneWhereThereIsNothingToBeginAt) {
  EXPECT_TRUE(PlanRestarts(Spec(0), Task(200, 60), 3, Ages()).empty());
  EXPECT_TRUE(PlanRestarts(Spec(1), Task(200, 60), 0, {}).empty());
  v1::RunSpec baseline = Spec(1);
  baseline.set_reward(v1::TRUE);
  EXPECT_TRUE(PlanRestarts(baseline, Task(200, 60), 3, Ages()).empty());
}

// A chain of places: one step in twenty leads to the next, none back, and a reset to the first.
// Place 20 is where one episode in three hundred gets to. A clip is where an environment was in the
// last 50 steps of a batch, and what got further is preferred.
double ShareOfRareSteps(double share) {
  std::mt19937 random(5);
  const v1::TaskInfo task = Task(200, 50);
  std::vector<int> places(kEnvironments), ages(kEnvironments);
  std::vector<std::vector<int>> newest, preferred;
  int64_t rare = 0, steps = 0;
  for (int batch = 0; batch < 200; ++batch) {
    const auto planned =
        PlanRestarts(Spec(share), task, batch, batch == 0 ? std::vector<int32_t>() : ages);
    for (const Restart& restart : planned) {
      const auto& clips = restart.moment.preferred() && !preferred.empty() ? preferred : newest;
      const std::vector<int>& clip = clips[restart.moment.place() % clips.size()];
      places[restart.environment] = clip[clip.size() - restart.moment.steps_before_end()];
      ages[restart.environment] = 0;
    }
    newest.clear();
    for (int e = 0; e < kEnvironments; ++e) {
      std::vector<int>& clip = newest.emplace_back();
      for (int t = 0; t < 100; ++t, ++steps) {
        places[e] += std::bernoulli_distribution(0.05)(random);
        if (++ages[e] == 200) places[e] = ages[e] = 0;
        rare += places[e] >= 20;
        if (t >= 50) clip.push_back(places[e]);
      }
    }
    const auto furthest = [](const std::vector<int>& clip) {
      return *std::max_element(clip.begin(), clip.end());
    };
    for (int e = 0; e + 1 < kEnvironments; e += 2) {
      const bool first = furthest(newest[e]) > furthest(newest[e + 1]);
      preferred.push_back(newest[first ? e : e + 1]);
    }
    if (preferred.size() > 64) preferred.erase(preferred.begin(), preferred.end() - 64);
  }
  return static_cast<double>(rare) / static_cast<double>(steps);
}

TEST(PlanRestarts, SpendMoreStepsWhereResetsSeldomLead) {
  EXPECT_GT(ShareOfRareSteps(0.5), 5 * ShareOfRareSteps(0));
}

}  // namespace
}  // namespace backflip::method
