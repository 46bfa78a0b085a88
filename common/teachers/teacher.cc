#include "common/teachers/teacher.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/draws.h"
#include "common/base/status_macros.h"

namespace backflip::teachers {
namespace {

// The better clip of two that differ by one usual deviation is preferred in 95 % of the answers.
constexpr double kRationality = 3;

uint64_t ContentOf(const std::vector<float>& rewards) {
  return base::ContentKey(rewards.size(), rewards.data(), rewards.size());
}

// A step t of H counts myopia^(H-1-t).
double WeightedReturn(const std::vector<float>& rewards, double myopia) {
  double sum = 0;
  for (const float reward : rewards) sum = sum * myopia + reward;
  return sum;
}

// In units of their margins: a difference below 1 is none.
v1::Choice ByRubric(const std::vector<float>& left, const std::vector<float>& right) {
  for (size_t i = 0; i < left.size(); ++i) {
    if (std::abs(left[i] - right[i]) >= 1) return left[i] > right[i] ? v1::LEFT : v1::RIGHT;
  }
  return v1::TIE;
}

}  // namespace

absl::Span<const NamedTeacher> Teachers() {
  static constexpr NamedTeacher kTeachers[] = {
      {"oracle", {}, "the greater true return"},
      {"rubric", {.rubric = true}, "by the task's rubric, criterion by criterion"},
      {"stochastic",
       {.rationality = kRationality},
       "the better clip more often, the more so the further the returns are apart"},
      {"mistake", {.mistake = 0.1}, "one in ten answers turned around"},
      {"skip", {.skip = 0.1}, "cannot tell between clips that are both bad"},
      {"equal", {.equal = 0.1}, "a tie between clips that are nearly alike"},
      {"myopic", {.myopia = 0.9}, "the end of a clip counts most"},
      {"casual",
       {.mistake = 0.05, .skip = 0.1, .equal = 0.1},
       "as a person in a hurry: sometimes wrong, ties between clips that are nearly alike, cannot "
       "tell between bad ones"},
      {"random", {.random = 1}, "left or right by chance"},
      {"half_random", {.random = 0.5}, "every other answer by chance"},
      {"inverted", {.mistake = 1}, "always the lesser true return"},
  };
  return kTeachers;
}

std::string TeacherNames() {
  return absl::StrJoin(Teachers(), ", ", [](std::string* out, const NamedTeacher& teacher) {
    out->append(teacher.name);
  });
}

absl::StatusOr<TeacherTraits> TraitsOf(absl::string_view name) {
  for (const NamedTeacher& teacher : Teachers()) {
    if (name == teacher.name) return teacher.traits;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("there is no teacher \"", name, "\"; there are ", TeacherNames()));
}

absl::Status CheckTask(absl::string_view name, const v1::TaskInfo& task) {
  ASSIGN_OR_RETURN(const TeacherTraits traits, TraitsOf(name));
  if (traits.rubric ? task.rubric_criteria() > 0 : task.has_true_reward()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the task ", task.name(), " has no ", traits.rubric ? "rubric" : "true reward",
      ", by which the simulated teacher ", name, " would answer; give it a ",
      traits.rubric ? "rubric" : "true_reward", " in its task.textproto (docs/tasks.md)"));
}

Teacher::Teacher(TeacherTraits traits, uint64_t seed) : traits_(traits), seed_(seed) {}

double ReturnOf(const std::vector<float>& rewards) { return WeightedReturn(rewards, 1); }

UsualReturns UsualOf(const std::vector<double>& returns) {
  UsualReturns usual;
  if (returns.empty()) return usual;
  const double count = static_cast<double>(returns.size());
  for (const double value : returns) usual.mean += value / count;
  double variance = 0;
  for (const double value : returns)
    variance += (value - usual.mean) * (value - usual.mean) / count;
  usual.deviation = std::sqrt(variance);
  return usual;
}

v1::Choice Teacher::Judge(const std::vector<float>& left, const std::vector<float>& right,
                          const UsualReturns& usual) const {
  if (traits_.rubric) return ByRubric(left, right);
  // both thresholds look at plain returns, myopic or not
  const double left_return = ReturnOf(left), right_return = ReturnOf(right);
  const double least = traits_.skip * usual.mean;
  if (least > 0 && std::max(left_return, right_return) <= least) return v1::CANNOT_TELL;
  if (std::abs(left_return - right_return) < traits_.equal * usual.mean) return v1::TIE;

  const double difference =
      WeightedReturn(left, traits_.myopia) - WeightedReturn(right, traits_.myopia);
  const uint64_t left_content = ContentOf(left), right_content = ContentOf(right);
  const auto [first, second] = std::minmax(left_content, right_content);
  const auto draw = [&, first = first, second = second](base::TeacherDraw kind) {
    return base::UnitInterval(base::SeedOf({seed_, static_cast<uint64_t>(kind), first, second}));
  };
  // drawn for the clip whose content comes first, so that sides do not matter
  const bool left_first = left_content <= right_content;
  if (traits_.random > 0 && draw(base::TeacherDraw::kRandom) < traits_.random) {
    return (draw(base::TeacherDraw::kRandomSide) < 0.5) == left_first ? v1::LEFT : v1::RIGHT;
  }
  bool left_better;
  if (traits_.rationality > 0) {
    const double odds = difference == 0 ? 0 : traits_.rationality * difference / usual.deviation;
    const double first_better = 1 / (1 + std::exp(left_first ? -odds : odds));
    left_better = (draw(base::TeacherDraw::kChoice) < first_better) == left_first;
  } else if (difference == 0) {
    return v1::TIE;
  } else {
    left_better = difference > 0;
  }
  if (traits_.mistake > 0 && draw(base::TeacherDraw::kMistake) < traits_.mistake) {
    left_better = !left_better;
  }
  return left_better ? v1::LEFT : v1::RIGHT;
}

}  // namespace backflip::teachers
