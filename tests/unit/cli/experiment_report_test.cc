#include "cli/output/experiment_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "cli/commands/experiment.h"

namespace backflip::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

v1::Experiment TwoArms() {
  v1::Experiment experiment;
  experiment.add_task("walker");
  experiment.add_task("hopper");
  experiment.add_arm()->set_name("learned");
  experiment.add_arm()->set_name("true");
  experiment.set_measure("true_return");
  experiment.set_baseline("true");
  return experiment;
}

ExperimentRun Finished(const std::string& task, const std::string& arm, uint64_t seed,
                       double value) {
  ExperimentRun run{.task = task, .arm = arm};
  run.run.mutable_spec()->set_seed(seed);
  run.run.set_state(v1::FINISHED);
  run.results.episodes = 20;
  run.results.true_return = value;
  for (int iteration = 1; iteration <= 3; ++iteration) {
    v1::MetricPoint& point = run.curve.emplace_back();
    point.set_iteration(iteration);
    point.set_steps(iteration * 1000);
    point.set_value(value * iteration / 3);
  }
  return run;
}

TEST(ExperimentTable, ComparesRunsOfTheSameSeed) {
  const std::string table = ExperimentTable(
      TwoArms(), {Finished("walker", "learned", 201, 90), Finished("walker", "true", 201, 100),
                  Finished("walker", "learned", 202, 20), Finished("walker", "true", 202, 10),
                  // its partner is missing
                  Finished("walker", "learned", 203, 7)});
  // ratios 0.9 and 2
  EXPECT_THAT(table, HasSubstr("| walker | learned | 3 | 39 [7, 90] | 1.45 [0.9, 2] | 201: 90, "
                               "202: 20, 203: 7 |"));
  EXPECT_THAT(table, HasSubstr("| walker | true | 2 | 55 [10, 100] | 1 [1, 1] |"));
  EXPECT_THAT(table, Not(HasSubstr("hopper")));
}

TEST(ExperimentTable, SumsUpOverTasks) {
  const std::string table = ExperimentTable(
      TwoArms(), {Finished("walker", "learned", 1, 9), Finished("walker", "true", 1, 10),
                  Finished("hopper", "learned", 1, -4), Finished("hopper", "true", 1, -2)});
  EXPECT_THAT(table, HasSubstr("| 2 tasks | learned | | | mean 0.7, least 0.5 |"));
}

TEST(ExperimentTable, NamesRunsThatFailed) {
  ExperimentRun failed = Finished("walker", "learned", 201, 0);
  failed.run.set_state(v1::FAILED);
  failed.run.set_message("the reward is nan");
  failed.results.episodes = 0;
  const std::string table = ExperimentTable(TwoArms(), {failed});
  EXPECT_THAT(table, HasSubstr("walker, learned, seed 201 (run 0) is failed: the reward is nan"));
  EXPECT_THAT(table, Not(HasSubstr("| walker | learned |")));
}

TEST(DrawExperiment, DrawsALineForEachArm) {
  const std::string path = testing::TempDir() + "/experiment.svg";
  const absl::Status drawn =
      DrawExperiment("e", TwoArms(),
                     {Finished("walker", "learned", 1, 9), Finished("walker", "true", 1, 10),
                      Finished("walker", "learned", 2, 7)},
                     path);
  ASSERT_TRUE(drawn.ok()) << drawn;
  EXPECT_GT(std::filesystem::file_size(path), 1000u);
}

TEST(ShippedExperiments, FitTheirTasks) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(BACKFLIP_EXPERIMENTS)) {
    ++files;
    const auto plan = ReadPlan(entry.path().string());
    EXPECT_TRUE(plan.ok()) << entry.path() << ": " << plan.status();
  }
  EXPECT_GT(files, 5);
}

}  // namespace
}  // namespace backflip::cli
