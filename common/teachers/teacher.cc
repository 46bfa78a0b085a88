#include "common/teachers/teacher.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/draws.h"

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

}  // namespace

absl::StatusOr<TeacherTraits> TraitsOf(absl::string_view name) {
  if (name == "oracle") return TeacherTraits{};
  if (name == "stochastic") return TeacherTraits{.stochastic = true};
  if (name == "myopic") return TeacherTraits{.myopia = 0.9};
  if (name == "mistake") return TeacherTraits{.mistake = 0.1};
  if (name == "skip") return TeacherTraits{.skip = 0.1};
  if (name == "equal") return TeacherTraits{.equal = 0.1};
  if (name == "random") return TeacherTraits{.random = 1};
  if (name == "half_random") return TeacherTraits{.random = 0.5};
  if (name == "inverted") return TeacherTraits{.mistake = 1};
  return absl::InvalidArgumentError(
      absl::StrCat("there is no teacher \"", name,
                   "\"; there are oracle, stochastic, mistake, skip, equal, myopic, random, "
                   "half_random and inverted"));
}

Teacher::Teacher(TeacherTraits traits, uint64_t seed) : traits_(traits), seed_(seed) {}

double Teacher::MeanRecentReturn() const {
  return std::accumulate(recent_returns_.begin(), recent_returns_.end(), 0.0) /
         static_cast<double>(recent_returns_.size());
}

Verdict Teacher::Judge(const std::vector<float>& left, const std::vector<float>& right) {
  const double left_return = ReturnOf(left, 1), right_return = ReturnOf(right, 1);
  for (const double clip_return : {left_return, right_return}) {
    recent_returns_.push_back(clip_return);
    if (recent_returns_.size() > kRecentClips) recent_returns_.pop_front();
  }
  // both thresholds look at plain returns, myopic or not
  if (traits_.skip > 0 &&
      !(std::max(left_return, right_return) > traits_.skip * MeanRecentReturn())) {
    return Verdict::kCannotTell;
  }
  if (traits_.equal > 0 &&
      std::abs(left_return - right_return) < traits_.equal * MeanRecentReturn()) {
    return Verdict::kTie;
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
    return (draw(base::TeacherDraw::kRandomSide) < 0.5) == left_first ? Verdict::kLeft
                                                                      : Verdict::kRight;
  }
  bool left_better;
  if (traits_.stochastic) {
    const double first_better = 1 / (1 + std::exp(left_first ? -difference : difference));
    left_better = (draw(base::TeacherDraw::kChoice) < first_better) == left_first;
  } else if (difference == 0) {
    return Verdict::kTie;
  } else {
    left_better = difference > 0;
  }
  if (traits_.mistake > 0 && draw(base::TeacherDraw::kMistake) < traits_.mistake)
    left_better = !left_better;
  return left_better ? Verdict::kLeft : Verdict::kRight;
}

}  // namespace backflip::teachers
