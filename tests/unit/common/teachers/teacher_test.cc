#include "common/teachers/teacher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace backflip::teachers {
namespace {

using ::testing::HasSubstr;

Teacher Named(const char* name, uint64_t seed = 1) { return Teacher(*TraitsOf(name), seed); }

// Two steps whose sum is `total`, told apart by `id`.
std::vector<float> Clip(float total, int id) {
  return {total - static_cast<float>(id), static_cast<float>(id)};
}

// Clips that usually earn 10, give or take 1.
constexpr UsualReturns kUsual{10, 1};

TEST(Oracle, PrefersTheGreaterReturn) {
  const Teacher teacher = Named("oracle");
  EXPECT_EQ(teacher.Judge({1, 2}, {2, 0}, kUsual), v1::LEFT);
  EXPECT_EQ(teacher.Judge({1, -2}, {0, 0}, kUsual), v1::RIGHT);
}

TEST(Oracle, CallsEqualReturnsATie) {
  EXPECT_EQ(Named("oracle").Judge({1, 2}, {2, 1}, kUsual), v1::TIE);
}

TEST(Myopic, CountsTheLastStepsMost) {
  // 0.9 * 2 + 1 < 0.9 * 1 + 2, though the sums are equal
  EXPECT_EQ(Named("myopic").Judge({2, 1}, {1, 2}, kUsual), v1::RIGHT);
  EXPECT_EQ(Named("oracle").Judge({2, 1}, {1, 2}, kUsual), v1::TIE);
}

TEST(Mistake, TurnsATenthOfTheAnswersAround) {
  const Teacher teacher = Named("mistake");
  int wrong = 0;
  for (int i = 0; i < 4000; ++i) {
    wrong += teacher.Judge(Clip(10, i), Clip(5, i), kUsual) == v1::RIGHT;
  }
  EXPECT_NEAR(wrong / 4000.0, 0.1, 0.02);
}

TEST(Mistake, AnswersTheSameQuestionTheSameOnEitherSideAtAnyTime) {
  const Teacher one = Named("mistake"), other = Named("mistake");
  for (int i = 200; i-- > 0;) other.Judge(Clip(10, i), Clip(5, i), kUsual);
  for (int i = 0; i < 200; ++i) {
    const bool left = one.Judge(Clip(10, i), Clip(5, i), kUsual) == v1::LEFT;
    const bool mirrored = other.Judge(Clip(5, i), Clip(10, i), kUsual) == v1::RIGHT;
    EXPECT_EQ(left, mirrored) << i;
  }
}

TEST(Mistake, OfAnotherSeedErrsElsewhere) {
  const Teacher one = Named("mistake", 1), other = Named("mistake", 2);
  int different = 0;
  for (int i = 0; i < 1000; ++i) {
    different +=
        one.Judge(Clip(10, i), Clip(5, i), kUsual) != other.Judge(Clip(10, i), Clip(5, i), kUsual);
  }
  EXPECT_NEAR(different / 1000.0, 2 * 0.1 * 0.9, 0.05);
}

TEST(Stochastic, PrefersTheBetterClipAsOftenAsTheLogisticSaysInUnitsOfTheReturnsSpread) {
  const Teacher teacher = Named("stochastic");
  for (const float scale : {0.01f, 1.0f, 100.0f}) {
    int better = 0;
    for (int i = 0; i < 4000; ++i) {
      // on alternating sides, half a usual deviation apart
      const std::vector<float> good = {scale, scale * static_cast<float>(i)};
      const std::vector<float> bad = {0, scale * static_cast<float>(i)};
      const UsualReturns usual{0, 2 * scale};
      better += i % 2 == 0 ? teacher.Judge(good, bad, usual) == v1::LEFT
                           : teacher.Judge(bad, good, usual) == v1::RIGHT;
    }
    EXPECT_NEAR(better / 4000.0, 1 / (1 + std::exp(-3 * 0.5)), 0.03) << scale;
  }
}

TEST(Stochastic, BearsReturnsOfAnySize) {
  const Teacher teacher = Named("stochastic");
  EXPECT_EQ(teacher.Judge({1e30f, 0}, {0, 0}, {0, 1}), v1::LEFT);
  EXPECT_EQ(teacher.Judge({0, 0}, {1e30f, 0}, {0, 1}), v1::RIGHT);
  EXPECT_NE(teacher.Judge({1, 0}, {1, 0}, {1, 0}), v1::CANNOT_TELL);  // no spread at all
}

TEST(Skip, CannotTellWhereBothClipsAreUnderATenthOfTheUsual) {
  const Teacher teacher = Named("skip");
  EXPECT_EQ(teacher.Judge({0.5, 0}, {0, 0}, kUsual), v1::CANNOT_TELL);
  // the share is applied once: 0.5 is above 0.1 * 0.1 * 10
  EXPECT_EQ(teacher.Judge({0, 0}, {0.5, 0}, kUsual), v1::CANNOT_TELL);
  EXPECT_EQ(teacher.Judge({1.5, 0}, {0, 0}, kUsual), v1::LEFT);
}

TEST(Skip, AnswersWhereReturnsAreNegative) {
  EXPECT_EQ(Named("skip").Judge({-0.5, -0.5}, {-1, -1}, {-1.6, 0.1}), v1::LEFT);
  EXPECT_EQ(Named("skip").Judge({-5, -5}, {-6, -6}, {0, 10}), v1::LEFT);
}

TEST(Equal, CallsATieWhatDiffersByLessThanATenthOfTheUsual) {
  const Teacher teacher = Named("equal");
  EXPECT_EQ(teacher.Judge({10, 0}, {9.5, 0}, kUsual), v1::TIE);
  EXPECT_EQ(teacher.Judge({10, 0}, {8.5, 0}, kUsual), v1::LEFT);
  EXPECT_EQ(teacher.Judge({-10, 0}, {-10.1, 0}, {-10, 1}), v1::LEFT);
}

TEST(Teacher, AnswersTheSameQuestionTheSameWhateverItWasAskedBefore) {
  for (const NamedTeacher& named : Teachers()) {
    const Teacher fresh(named.traits, 1), asked(named.traits, 1);
    for (int i = 0; i < 200; ++i) asked.Judge(Clip(1000, i), Clip(-1000, i), {500, 1000});
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(fresh.Judge(Clip(10, i), Clip(9.2, i), kUsual),
                asked.Judge(Clip(10, i), Clip(9.2, i), kUsual))
          << named.name;
    }
  }
}

TEST(UsualOf, IsTheMeanAndTheDeviation) {
  EXPECT_EQ(UsualOf({3, 1}).mean, 2);
  EXPECT_EQ(UsualOf({3, 1}).deviation, 1);
  EXPECT_EQ(UsualOf({}).deviation, 0);
  EXPECT_EQ(ReturnOf({1, 2.5, -1}), 2.5);
}

TEST(Casual, ErrsSometimesAndHasDoubts) {
  const Teacher teacher = Named("casual");
  int wrong = 0;
  for (int i = 0; i < 4000; ++i)
    wrong += teacher.Judge(Clip(13, i), Clip(7, i), kUsual) == v1::RIGHT;
  EXPECT_NEAR(wrong / 4000.0, 0.05, 0.015);
  EXPECT_EQ(teacher.Judge({10, 0}, {9.5, 0}, kUsual), v1::TIE);
  EXPECT_EQ(teacher.Judge({0.5, 0}, {0, 0}, kUsual), v1::CANNOT_TELL);
}

TEST(Random, PrefersEitherSideWhateverTheClipsShow) {
  const Teacher teacher = Named("random");
  int left = 0, better = 0;
  for (int i = 0; i < 4000; ++i) {
    const bool left_better = i % 2 == 0;
    const bool said_left = teacher.Judge(Clip(left_better ? 10 : 5, i),
                                         Clip(left_better ? 5 : 10, i), kUsual) == v1::LEFT;
    left += said_left;
    better += said_left == left_better;
  }
  EXPECT_NEAR(left / 4000.0, 0.5, 0.03);
  EXPECT_NEAR(better / 4000.0, 0.5, 0.03);
}

TEST(Random, AnswersTheSameQuestionTheSameOnEitherSide) {
  const Teacher teacher = Named("random");
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(teacher.Judge(Clip(10, i), Clip(5, i), kUsual) == v1::LEFT,
              teacher.Judge(Clip(5, i), Clip(10, i), kUsual) == v1::RIGHT);
  }
}

TEST(HalfRandom, IsWrongInAQuarterOfTheAnswers) {
  const Teacher teacher = Named("half_random");
  int wrong = 0;
  for (int i = 0; i < 4000; ++i) {
    wrong += teacher.Judge(Clip(10, i), Clip(5, i), kUsual) == v1::RIGHT;
  }
  EXPECT_NEAR(wrong / 4000.0, 0.25, 0.03);
}

TEST(Inverted, PrefersTheLesserReturn) {
  const Teacher teacher = Named("inverted");
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(teacher.Judge(Clip(10, i), Clip(5, i), kUsual), v1::RIGHT);
  }
}

TEST(Rubric, DecidesByTheFirstCriterionThatDiffersByItsMargin) {
  Teacher teacher = Named("rubric");
  EXPECT_TRUE(teacher.by_rubric());
  EXPECT_EQ(teacher.Judge({2, 0, 0}, {1, 9, 9}, kUsual), v1::LEFT);
  EXPECT_EQ(teacher.Judge({1.9f, 0, 0}, {1, 3, 0}, kUsual), v1::RIGHT)
      << "less than a margin is none";
  EXPECT_EQ(teacher.Judge({1, 2.5f, 7}, {1, 2, 5}, kUsual), v1::LEFT);
  EXPECT_EQ(teacher.Judge({1, 2, -3}, {1.5f, 2.5f, -3.5f}, kUsual), v1::TIE);
}

TEST(CheckTask, SaysWhatTheTaskLacksForTheTeacher) {
  v1::TaskInfo task;
  task.set_name("robot");
  EXPECT_THAT(std::string(CheckTask("oracle", task).message()),
              HasSubstr("the task robot has no true reward"));
  EXPECT_THAT(std::string(CheckTask("rubric", task).message()),
              HasSubstr("the task robot has no rubric"));
  task.set_rubric_criteria(2);
  EXPECT_TRUE(CheckTask("rubric", task).ok());
  EXPECT_FALSE(CheckTask("mistake", task).ok());
  task.set_has_true_reward(true);
  EXPECT_TRUE(CheckTask("mistake", task).ok());
  EXPECT_EQ(CheckTask("sage", task).code(), absl::StatusCode::kInvalidArgument);
}

TEST(Traits, RefuseAnUnknownTeacherWithTheNames) {
  const auto traits = TraitsOf("sage");
  ASSERT_FALSE(traits.ok());
  EXPECT_THAT(traits.status().message(),
              HasSubstr("oracle, rubric, stochastic, mistake, skip, equal"));
}

}  // namespace
}  // namespace backflip::teachers
