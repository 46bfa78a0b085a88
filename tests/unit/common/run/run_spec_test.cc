#include "common/run/run_spec.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backflip::run {
namespace {

using ::testing::HasSubstr;

TEST(RunSpec, DefaultsAreValidAndComplete) { EXPECT_TRUE(ValidateRunSpec(DefaultRunSpec()).ok()); }

TEST(RunSpec, LaterLayersWinAndListsAreReplaced) {
  v1::RunSpec layer;
  layer.set_labels(12);
  layer.mutable_ppo()->add_hidden(8);
  layer.mutable_queries()->set_initial_share(0.5);
  const v1::RunSpec merged = Overlay(DefaultRunSpec(), layer);
  EXPECT_EQ(merged.labels(), 12);
  ASSERT_EQ(merged.ppo().hidden_size(), 1);
  EXPECT_EQ(merged.ppo().hidden(0), 8);
  EXPECT_EQ(merged.queries().initial_share(), 0.5);
  EXPECT_EQ(merged.queries().pool(), DefaultRunSpec().queries().pool());
}

TEST(RunSpec, RefusalNamesFieldValueAndRange) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.mutable_ppo()->set_clip(1.5);
  const absl::Status status = ValidateRunSpec(spec);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ppo.clip is 1.5"));
}

TEST(RunSpec, BatchMustDivideAmongEnvironments) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.mutable_collection()->set_environments(7);
  EXPECT_THAT(std::string(ValidateRunSpec(spec).message()), HasSubstr("multiple of collection.environments"));
}

TEST(RunSpec, OptionsOfPeopleHaveRanges) {
  const auto refusal = [](auto change) {
    v1::RunSpec spec = DefaultRunSpec();
    change(&spec);
    return std::string(ValidateRunSpec(spec).message());
  };
  EXPECT_THAT(refusal([](auto* s) { s->mutable_queries()->set_clips_per_question(9); }),
              HasSubstr("queries.clips_per_question is 9; allowed: 2 to 8"));
  EXPECT_THAT(refusal([](auto* s) { s->mutable_queries()->set_progress_share(0.6); }),
              HasSubstr("queries.progress_share is 0.6; allowed: 0 to 0.5"));
  EXPECT_THAT(refusal([](auto* s) { s->mutable_queries()->set_first_labels(0); }),
              HasSubstr("queries.first_labels is 0"));
  EXPECT_THAT(refusal([](auto* s) { s->mutable_quality()->set_gold_share(-0.1); }),
              HasSubstr("quality.gold_share is -0.1"));
  EXPECT_THAT(refusal([](auto* s) { s->mutable_quality()->set_rule_window(0); }),
              HasSubstr("quality.rule_window is 0"));
}

TEST(RunSpec, FileErrorNamesLineAndField) {
  const std::string path = testing::TempDir() + "/bad_run_spec.textproto";
  std::ofstream(path) << "labels: 3\nlables: 4\n";
  const auto spec = ReadRunSpecFile(path);
  EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(spec.status().message()), HasSubstr("bad_run_spec.textproto:2:"));
  EXPECT_THAT(std::string(spec.status().message()), HasSubstr("lables"));
}

// paper, A.1: a quarter of the labels at the start, then a rate in proportion
// to 2e6 / (T + 2e6); figures of its integral
TEST(LabelsWantedAt, AnnealedFollowsThePaper) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.set_labels(700);
  spec.set_steps(10'000'000);
  EXPECT_EQ(LabelsWantedAt(spec, 0), 175);
  EXPECT_NEAR(LabelsWantedAt(spec, 1'000'000), 294, 1);
  EXPECT_NEAR(LabelsWantedAt(spec, 5'000'000), 542, 1);
  EXPECT_EQ(LabelsWantedAt(spec, 10'000'000), 700);
  EXPECT_EQ(LabelsWantedAt(spec, 20'000'000), 700);
}

TEST(LabelsWantedAt, UniformSpreadsEvenlyUntilAskedBy) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.set_labels(900);
  spec.set_steps(1'000'000);
  spec.mutable_queries()->set_schedule(v1::UNIFORM);
  spec.mutable_queries()->set_initial_share(0.1);
  spec.mutable_queries()->set_asked_by(0.5);
  EXPECT_EQ(LabelsWantedAt(spec, 0), 90);
  EXPECT_EQ(LabelsWantedAt(spec, 250'000), 495);
  EXPECT_EQ(LabelsWantedAt(spec, 500'000), 900);
}

}  // namespace
}  // namespace backflip::run
