// An ensemble of the learning loop, and whom it asks.
#ifndef BACKFLIP_TOOLS_ASKER_H_
#define BACKFLIP_TOOLS_ASKER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backflip/v1/run.pb.h"
#include "common/base/draws.h"
#include "common/experience/answers.h"
#include "common/experience/clip.h"
#include "common/learn/reward/ensemble.h"
#include "common/method/ensemble_fitter.h"
#include "common/method/winners.h"
#include "common/teachers/teacher.h"

namespace backflip::tools {

// An ensemble, and the answers that it asked for.
struct Asker {
  std::string name;
  v1::RunSpec spec;
  std::unique_ptr<method::EnsembleFitter> fitter;
  std::vector<teachers::Teacher> teachers;
  int64_t questions = 0;  // asked
  std::vector<experience::Comparison> comparisons;
  std::vector<method::PlayedPair<experience::ClipPointer>> played;  // one for each question
  std::vector<experience::ClipPointer> preferred;                   // by answer
  size_t preferred_before = 0;     // how many of them before the newest round
  std::deque<double> returns;      // true ones of the clips in the newest questions, newest first
  learn::RewardTrainingStats fit;  // of the last round
  double seconds = 0;              // asking and fitting
};

// Has a teacher, drawn at random, answer the asker's next question.
inline void Ask(const experience::ClipPointer& left, const experience::ClipPointer& right,
                Asker* asker) {
  const int64_t ordinal = asker->questions++;
  const size_t teacher =
      base::SeedOf(asker->spec.seed(), base::Draw::kTeacher, ordinal) % asker->teachers.size();
  for (const experience::ClipPointer& clip : {left, right}) {
    asker->returns.push_front(teachers::ReturnOf(clip->true_rewards));
    if (asker->returns.size() > teachers::kUsualClips) asker->returns.pop_back();
  }
  v1::Answer answer;
  const teachers::Teacher& judge = asker->teachers[teacher];
  const auto numbers =
      judge.by_rubric() ? &experience::Clip::rubric : &experience::Clip::true_rewards;
  answer.set_choice(judge.Judge((*left).*numbers, (*right).*numbers,
                                teachers::UsualOf({asker->returns.begin(), asker->returns.end()})));
  auto& played = asker->played.emplace_back();
  played = {left, right};
  if (const std::optional<int> preferred = experience::PreferredOf(answer); preferred.has_value()) {
    asker->preferred.push_back(*preferred == 0 ? left : right);
  }
  for (const experience::PairPreference& pair : experience::PairsOf(answer, 2)) {
    played.preference += pair.left_preferred - 0.5;
    asker->comparisons.push_back(
        {ordinal + 1, ordinal, left, right, pair.left_preferred, static_cast<int>(teacher) + 1});
  }
}

}  // namespace backflip::tools

#endif  // BACKFLIP_TOOLS_ASKER_H_
