#include "cli/output/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "nlohmann/json.hpp"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Pair;

v1::Run FinishedRun() {
  v1::Run run;
  run.set_id(3);
  run.set_steps(8192);
  run.set_labels(60);
  run.set_best_version(5);
  run.mutable_spec()->set_seed(11);
  run.mutable_spec()->set_reward(v1::PREFERENCES);
  run.mutable_task()->set_name("hopper_backflip");
  run.mutable_task()->set_has_true_reward(true);
  run.mutable_task()->add_metrics("turns");
  run.mutable_task()->add_metrics("landed_backflips");
  (*run.mutable_metrics())["reward/accuracy"] = 0.75;
  return run;
}

v1::Evaluation Episode(int64_t version, bool final, double value) {
  v1::Evaluation evaluation;
  evaluation.set_policy_version(version);
  evaluation.set_final(final);
  evaluation.set_true_return(value);
  (*evaluation.mutable_metrics())["turns"] = value / 10;
  (*evaluation.mutable_metrics())["landed_backflips"] = value / 100;
  return evaluation;
}

TEST(Results, CountOnlyFreshEpisodesOfTheBestSnapshot) {
  const Results results =
      Summarise(FinishedRun(),
                {Episode(5, true, 100), Episode(5, true, 300),
                 // one from choosing among snapshots, one from an earlier end of the run
                 Episode(5, false, 9000), Episode(4, true, 9000)},
                10, 800);
  EXPECT_EQ(results.episodes, 2);
  EXPECT_EQ(results.true_return, 200);
  EXPECT_THAT(results.metrics,
              testing::ElementsAre(Pair("turns", 20), Pair("landed_backflips", 2)));
}

TEST(Results, AreOneJsonObjectWithTheTasksMetricsByName) {
  const auto json =
      nlohmann::json::parse(ToJson(Summarise(FinishedRun(), {Episode(5, true, 100)}, 10, 819.2)));
  EXPECT_EQ(json["task"], "hopper_backflip");
  EXPECT_EQ(json["seed"], 11);
  EXPECT_EQ(json["labels"], 60);
  EXPECT_EQ(json["steps"], 8192);
  EXPECT_EQ(json["wall_seconds"], 10);
  EXPECT_EQ(json["steps_per_second"], 819.2);
  EXPECT_EQ(json["reward_accuracy"], 0.75);
  EXPECT_EQ(json["true_return"], 100);
  EXPECT_EQ(json["turns"], 10);
  EXPECT_EQ(json["landed_backflips"], 1);
}

TEST(Results, LeaveOutATrueReturnThatATaskDoesNotHave) {
  v1::Run run = FinishedRun();
  run.mutable_task()->set_has_true_reward(false);
  v1::Evaluation evaluation = Episode(5, true, 1);
  evaluation.clear_true_return();
  const auto json = nlohmann::json::parse(ToJson(Summarise(run, {evaluation}, 1, 1)));
  EXPECT_FALSE(json.contains("true_return"));
  EXPECT_TRUE(json.contains("turns"));
}

TEST(Curve, IsAnSvgOfTheRunsSeries) {
  if (std::system("command -v gnuplot >/dev/null") != 0) {
    GTEST_SKIP() << "gnuplot is not installed";
  }
  char name[] = "/tmp/backflip-test-XXXXXX";
  const std::string folder = mkdtemp(name);
  std::vector<v1::MetricPoint> points;
  for (int i = 0; i < 2000; ++i) {
    v1::MetricPoint& point = points.emplace_back();
    point.set_name(i % 2 == 0 ? "turns" : "reward/accuracy");
    point.set_steps(i * 8192);
    point.set_value(i);
  }
  const std::string path = folder + "/a \"curve\".svg";
  const absl::Status status = WriteCurve(FinishedRun(), points, path);
  ASSERT_TRUE(status.ok()) << status;
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_THAT(text.str(), HasSubstr("<svg"));
  EXPECT_THAT(text.str(), HasSubstr("turns per episode"));
  // nothing but the picture is left
  EXPECT_EQ(std::distance(fs::directory_iterator(folder), {}), 1);
  fs::remove_all(folder);
}

TEST(Curve, SaysThatARunHasNothingToDrawYet) {
  EXPECT_EQ(WriteCurve(FinishedRun(), {}, "/tmp/never.svg").code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace backflip::cli
