#include "cli/output/status_block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_join.h"
#include "absl/time/clock.h"

namespace backflip::cli {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

v1::Run SomeRun() {
  v1::Run run;
  run.set_id(7);
  run.set_state(v1::RUNNING);
  run.set_limit(v1::LIMIT_LABELS);
  run.set_steps(1'250'000);
  run.set_labels(450);
  run.mutable_spec()->set_steps(2'500'000);
  run.mutable_spec()->set_labels(900);
  run.mutable_spec()->set_reward(v1::PREFERENCES);
  run.mutable_task()->set_name("hopper_backflip");
  run.mutable_task()->set_has_true_reward(true);
  run.mutable_task()->add_metrics("turns");
  run.mutable_task()->add_metrics("landed_backflips");
  (*run.mutable_metrics())["reward/accuracy"] = 0.876;
  (*run.mutable_metrics())["predicted_return"] = 12.5;
  (*run.mutable_metrics())["true_return"] = 9013;
  (*run.mutable_metrics())["turns"] = 4.5;
  return run;
}

TEST(StatusBlock, ShowsBudgetSpeedReturnsAndTheTasksMetrics) {
  Pace pace;
  const absl::Time start = absl::UnixEpoch();
  pace.Add(start, 1'000'000);
  pace.Add(start + absl::Seconds(25), 1'250'000);
  v1::Run run = SomeRun();
  run.set_limit(v1::LIMIT_NONE);
  const std::string block = absl::StrJoin(StatusBlock(run, pace, absl::Seconds(125), 100), "\n");
  EXPECT_THAT(block, HasSubstr("run 7  hopper_backflip  running\n"));
  EXPECT_THAT(block, HasSubstr("labels 450 of 900"));
  EXPECT_THAT(block, HasSubstr("steps 1.25 M of 2.50 M"));
  EXPECT_THAT(block, HasSubstr("10 k steps/s"));
  EXPECT_THAT(block, HasSubstr("accuracy 88 %"));
  EXPECT_THAT(block, HasSubstr("predicted return 12.50"));
  EXPECT_THAT(block, HasSubstr("true return 9013"));
  EXPECT_THAT(block, HasSubstr("turns 4.50   landed_backflips -"));
  EXPECT_THAT(block, HasSubstr(" 50 %  2:05 elapsed, 2:05 left"));
}

TEST(StatusBlock, GuessesNoTimeWhereTheEndDependsOnPeople) {
  Pace pace;
  pace.Add(absl::UnixEpoch(), 1'000'000);
  pace.Add(absl::UnixEpoch() + absl::Seconds(25), 1'250'000);
  const auto line = [&](const v1::Run& run) { return StatusLine(run, pace, absl::Seconds(125)); };
  v1::Run run = SomeRun();
  EXPECT_THAT(line(run), HasSubstr("running, waiting for labels"));
  EXPECT_THAT(line(run), EndsWith(", 2:05 elapsed"));
  EXPECT_THAT(StatusBlock(run, pace, absl::Seconds(125), 100).back(), EndsWith("2:05 elapsed"));
  run.set_limit(v1::LIMIT_WORKERS);
  EXPECT_THAT(line(run), EndsWith(", 2:05 elapsed"));
  // it learns, but the steps at the end are still to be earned
  run.set_limit(v1::LIMIT_NONE);
  run.mutable_spec()->set_steps_per_label(2778);
  EXPECT_THAT(line(run), EndsWith(", 2:05 elapsed"));
  run.set_labels(900);
  EXPECT_THAT(line(run), EndsWith(", 2:05 left"));
  run.set_state(v1::PAUSED);
  EXPECT_THAT(line(run), EndsWith(", 2:05 elapsed"));
}

TEST(LiveStatus, RemindsOfTheLinkEverMoreSeldomWhileNoAnswerComes) {
  std::FILE* const out = std::tmpfile();
  LiveStatus live(out);
  int reminded = 0;
  live.RemindWhileWaiting([&] {
    ++reminded;
    return std::string("Answer here");
  });
  v1::Run run = SomeRun();
  const auto minutes_later = [&](int minutes) {
    live.Show(run, Pace(), absl::Minutes(minutes));
    return reminded;
  };
  EXPECT_EQ(minutes_later(0), 0);
  EXPECT_EQ(minutes_later(1), 0);
  EXPECT_EQ(minutes_later(2), 1);
  EXPECT_EQ(minutes_later(3), 1);
  EXPECT_EQ(minutes_later(4), 2);
  EXPECT_EQ(minutes_later(7), 2);
  EXPECT_EQ(minutes_later(8), 3);
  run.set_labels(run.labels() + 1);  // somebody is there
  EXPECT_EQ(minutes_later(16), 3);
  EXPECT_EQ(minutes_later(18), 4);
  run.set_limit(v1::LIMIT_NONE);
  EXPECT_EQ(minutes_later(60), 4);
  std::fclose(out);
}

TEST(StatusBlock, FitsTheTerminal) {
  for (const std::string& line : StatusBlock(SomeRun(), Pace(), absl::ZeroDuration(), 40)) {
    int columns = 0;
    for (const char c : line) columns += (c & 0xC0) != 0x80;
    EXPECT_LE(columns, 40) << line;
  }
}

TEST(StatusBlock, NamesNoRewardModelWhereThereIsNone) {
  v1::Run run = SomeRun();
  run.mutable_spec()->set_reward(v1::TRUE);
  const std::string line = StatusLine(run, Pace(), absl::ZeroDuration());
  EXPECT_THAT(line, Not(HasSubstr("accuracy")));
  EXPECT_THAT(line, HasSubstr("true reward"));
}

TEST(Pace, IsThatOfTheLastHalfMinute) {
  Pace pace;
  const absl::Time start = absl::UnixEpoch();
  for (int i = 0; i <= 60; ++i) pace.Add(start + absl::Seconds(i), i * 10);
  for (int i = 61; i <= 120; ++i) {
    pace.Add(start + absl::Seconds(i), 600 + (i - 60) * 100);
  }
  EXPECT_DOUBLE_EQ(pace.steps_per_second(), 100);
  EXPECT_EQ(pace.Remaining(1000), absl::Seconds(10));
}

TEST(Pace, BeginsAnewWhenARunGoesBackToACheckpoint) {
  Pace pace;
  pace.Add(absl::UnixEpoch(), 1000);
  pace.Add(absl::UnixEpoch() + absl::Seconds(1), 500);
  EXPECT_EQ(pace.steps_per_second(), 0);
  EXPECT_FALSE(pace.Remaining(10).has_value());
}

TEST(Clock, ShowsHoursOnlyWhenThereAreSome) {
  EXPECT_EQ(Clock(absl::Seconds(125)), "2:05");
  EXPECT_EQ(Clock(absl::Seconds(3725)), "1:02:05");
}

}  // namespace
}  // namespace backflip::cli
