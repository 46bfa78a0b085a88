#include "common/learn/schedule.h"

#include "gtest/gtest.h"

namespace backflip::learn {
namespace {

TEST(LabelSchedule, FollowsThePapersAnnealing) {
  // algorithm of Christiano et al. 2017, A.1, for 700 labels over 10 M steps
  LabelSchedule schedule;
  schedule.labels = 700;
  schedule.total_steps = 10'000'000;
  EXPECT_EQ(LabelsDue(schedule, 0), 175);
  EXPECT_EQ(LabelsDue(schedule, 1'000'000), 294);
  EXPECT_EQ(LabelsDue(schedule, 2'000'000), 378);
  EXPECT_EQ(LabelsDue(schedule, 10'000'000), 700);
}

TEST(LabelSchedule, SpreadsLabelsEvenlyWhenAsked) {
  LabelSchedule schedule;
  schedule.kind = LabelSchedule::Kind::kUniform;
  schedule.labels = 900;
  schedule.initial_fraction = 0;
  schedule.total_steps = 900'000;
  EXPECT_EQ(LabelsDue(schedule, 0), 0);
  EXPECT_EQ(LabelsDue(schedule, 300'000), 300);
  EXPECT_EQ(LabelsDue(schedule, 900'000), 900);
}

TEST(LabelSchedule, NeverExceedsTheBudget) {
  LabelSchedule schedule;
  EXPECT_EQ(LabelsDue(schedule, 1'000'000'000), schedule.labels);
}

}  // namespace
}  // namespace backflip::learn
