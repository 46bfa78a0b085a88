#include "common/method/round_planner.h"

#include "common/base/random.h"

namespace backflip::method {
namespace {

// Kinds of keyed draws, kept apart from everybody else's of the same run.
enum : uint64_t {
  kOverlapDraw = 0x6f7665726c6170,
  kProgressDraw = 0x70726f6772657373,
  kSelectionDraw = 0x73656c656374
};

// In [0, 1).
double Draw(const v1::RunSpec& spec, uint64_t kind, int64_t round, uint64_t place) {
  return base::UnitInterval(base::SeedOf({spec.seed(), kind, static_cast<uint64_t>(round), place}));
}

}  // namespace

std::vector<PlannedQuestion> PlanRound(const v1::RunSpec& spec, int64_t round, int64_t labels) {
  const v1::Queries& queries = spec.queries();
  std::vector<PlannedQuestion> questions;
  while (labels > 0) {
    const uint64_t place = questions.size();
    PlannedQuestion& question = questions.emplace_back();
    if (Draw(spec, kOverlapDraw, round, place) < queries.overlap_share()) {
      question.overlap = queries.overlap();
    }
    question.progress = Draw(spec, kProgressDraw, round, place) < queries.progress_share();
    labels -= question.overlap;
  }
  return questions;
}

size_t ProgressClip(const v1::RunSpec& spec, int64_t round, size_t place, int side, size_t size) {
  return base::SeedOf({spec.seed(), kProgressDraw, static_cast<uint64_t>(round), place,
                       static_cast<uint64_t>(side)}) %
         size;
}

uint64_t SelectionSeed(const v1::RunSpec& spec) {
  return base::SeedOf({spec.seed(), kSelectionDraw});
}

}  // namespace backflip::method
