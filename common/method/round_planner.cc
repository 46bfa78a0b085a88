#include "common/method/round_planner.h"

#include <cmath>

#include "common/base/draws.h"

namespace backflip::method {
namespace {

// In [0, 1).
double Draw(const v1::RunSpec& spec, base::Draw draw, int64_t round, uint64_t place) {
  return base::UnitInterval(base::SeedOf(spec.seed(), draw, round, place));
}

}  // namespace

std::vector<PlannedQuestion> PlanRound(const v1::RunSpec& spec, int64_t round, int64_t labels) {
  const v1::Queries& queries = spec.queries();
  std::vector<PlannedQuestion> questions;
  while (labels > 0) {
    const uint64_t place = questions.size();
    PlannedQuestion& question = questions.emplace_back();
    if (Draw(spec, base::Draw::kOverlap, round, place) < queries.overlap_share()) {
      question.overlap = queries.overlap();
    }
    question.progress = Draw(spec, base::Draw::kProgress, round, place) < queries.progress_share();
    labels -= question.overlap;
  }
  return questions;
}

size_t ProgressClip(const v1::RunSpec& spec, int64_t round, size_t place, int side, size_t size) {
  return base::SeedOf(spec.seed(), base::Draw::kProgress, round, place, side) % size;
}

int WinnerQuestions(const v1::RunSpec& spec, int64_t round, int questions) {
  const v1::Queries& queries = spec.queries();
  if (queries.clips_per_question() > 2) return 0;
  const double draw = base::UnitInterval(base::SeedOf(spec.seed(), base::Draw::kWinners, round));
  return static_cast<int>(std::floor(queries.winners_share() * questions + draw));
}

uint64_t SelectionSeed(const v1::RunSpec& spec) {
  return base::SeedOf(spec.seed(), base::Draw::kSelection);
}

}  // namespace backflip::method
