#include "common/teachers/teacher.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/base/draws.h"
#include "common/base/status_macros.h"

namespace backflip::teachers {
namespace {

uint64_t ContentOf(const std::vector<float>& rewards) {
  uint64_t content = rewards.size();
  for (const float reward : rewards) {
    uint32_t bits;
    std::memcpy(&bits, &reward, sizeof(bits));
    content = base::SeedOf({content, bits});
  }
  return content;
}

double ReturnOf(const std::vector<float>& rewards, double myopia) {
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
      {"stochastic", {.stochastic = true}, "the better clip more often"},
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

double Teacher::MeanRecentReturn() const {
  return std::accumulate(recent_returns_.begin(), recent_returns_.end(), 0.0) /
         static_cast<double>(recent_returns_.size());
}

v1::Choice Teacher::Judge(const std::vector<float>& left, const std::vector<float>& right) {
  if (traits_.rubric) return ByRubric(left, right);
  const double left_return = ReturnOf(left, 1), right_return = ReturnOf(right, 1);
  for (const double clip_return : {left_return, right_return}) {
    recent_returns_.push_back(clip_return);
    if (recent_returns_.size() > kRecentClips) recent_returns_.pop_front();
  }
  // both thresholds look at plain returns, myopic or not
  if (traits_.skip > 0 &&
      !(std::max(left_return, right_return) > traits_.skip * MeanRecentReturn())) {
    return v1::CANNOT_TELL;
  }
  if (traits_.equal > 0 &&
      std::abs(left_return - right_return) < traits_.equal * MeanRecentReturn()) {
    return v1::TIE;
  }

  const double difference = ReturnOf(left, traits_.myopia) - ReturnOf(right, traits_.myopia);
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
  if (traits_.stochastic) {
    const double first_better = 1 / (1 + std::exp(left_first ? -difference : difference));
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
