#include "common/method/label_book.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/method/winners.h"

namespace backflip::method {

void LabelBook::AddClip(const std::string& id, experience::Clip clip, int64_t iteration) {
  if (clips_.count(id) > 0) return;
  clips_[id] = {std::make_shared<const experience::Clip>(std::move(clip)), iteration};
}

absl::Status LabelBook::Check(const v1::LabelEntry& entry) const {
  const std::string label = absl::StrCat("label feed: label ", entry.label_id());
  if (entry.clip_ids_size() < 2) {
    return absl::FailedPreconditionError(
        absl::StrCat(label, " compares ", entry.clip_ids_size(), " clips"));
  }
  const absl::Status fits = experience::CheckAnswer(label, entry.answer(), entry.clip_ids_size());
  if (!fits.ok()) return absl::FailedPreconditionError(fits.message());
  for (const std::string& id : entry.clip_ids()) {
    if (clips_.count(id) == 0) {
      return absl::FailedPreconditionError(absl::StrCat(label, " came without its clip ", id));
    }
  }
  return absl::OkStatus();
}

absl::Status LabelBook::Apply(const v1::LabelEntry& entry) {
  if (entry.position() <= position()) return absl::OkStatus();
  if (entry.position() != position() + 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("label feed: position ", entry.position(), " came after ", position()));
  }
  if (Compares(entry)) RETURN_IF_ERROR(Check(entry));

  if (entry.has_supersedes()) {
    if (const auto old = standing_.find(entry.supersedes()); old != standing_.end()) {
      FeedEntry& label = labels_[old->second];
      label.ended_at = entry.position();
      if (label.entry.purpose() == v1::TRAIN && !label.entry.surplus()) {
        --questions_[label.entry.question_id()].answers;
      }
      standing_.erase(old);
    }
  }
  labels_.push_back({entry});
  if (entry.purpose() == v1::TRAIN && entry.overlap() > 0) {
    QuestionOf(entry).overlap = entry.overlap();
  }
  if (entry.retraction()) return absl::OkStatus();
  standing_[entry.label_id()] = labels_.size() - 1;
  if (entry.purpose() != v1::TRAIN) return absl::OkStatus();
  Question& question = QuestionOf(entry);
  if (!entry.surplus()) ++question.answers;
  return absl::OkStatus();
}

LabelBook::Question& LabelBook::QuestionOf(const v1::LabelEntry& entry) {
  const auto [at, added] = questions_.try_emplace(entry.question_id());
  if (added) {
    at->second = {entry.round(),
                  0,
                  overlap_,
                  entry.ordinal(),
                  {entry.clip_ids().begin(), entry.clip_ids().end()}};
  }
  return at->second;
}

void LabelBook::AddQuestion(const v1::OpenedQuestion& question, int64_t round) {
  questions_.emplace(question.question_id(),
                     Question{round,
                              0,
                              question.overlap() > 0 ? question.overlap() : overlap_,
                              question.ordinal(),
                              {question.clip_ids().begin(), question.clip_ids().end()}});
}

std::vector<experience::Comparison> LabelBook::Comparisons(int64_t max_round,
                                                           int64_t position) const {
  std::vector<const v1::LabelEntry*> entries;
  for (const FeedEntry& label : labels_) {
    if (label.entry.position() > position) break;
    if (label.ValidAt(position) && Compares(label.entry) && label.entry.round() <= max_round) {
      entries.push_back(&label.entry);
    }
  }
  // positions grow already
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto* a, const auto* b) { return a->ordinal() < b->ordinal(); });
  std::vector<experience::Comparison> comparisons;
  comparisons.reserve(entries.size());
  for (const v1::LabelEntry* entry : entries) {
    const float weight = 2.0f / static_cast<float>(entry->clip_ids_size());
    for (const auto& pair : experience::PairsOf(entry->answer(), entry->clip_ids_size())) {
      comparisons.push_back({entry->label_id(), entry->ordinal(),
                             clips_.at(entry->clip_ids(pair.left)).clip,
                             clips_.at(entry->clip_ids(pair.right)).clip, pair.left_preferred,
                             entry->labeler(), weight});
    }
  }
  return comparisons;
}

std::map<int, GoldScore> LabelBook::Gold(int64_t position) const {
  std::map<int, GoldScore> scores;
  for (const FeedEntry& label : labels_) {
    const v1::LabelEntry& entry = label.entry;
    if (entry.position() > position) break;
    // known pairs have no rankings
    if (!label.ValidAt(position) || entry.retraction() || entry.purpose() != v1::GOLD ||
        !experience::Compares(entry.answer()) || !experience::Compares(entry.expected())) {
      continue;
    }
    GoldScore& score = scores[entry.labeler()];
    ++(entry.answer().choice() == entry.expected().choice() ? score.right : score.wrong);
  }
  return scores;
}

std::vector<std::string> LabelBook::ComparedClips(int64_t max_round, int64_t max_iteration) const {
  std::set<std::pair<int64_t, std::string>> clips;
  for (const FeedEntry& label : labels_) {
    if (!Compares(label.entry) || label.entry.round() > max_round) continue;
    for (const std::string& id : label.entry.clip_ids()) {
      const int64_t iteration = clips_.at(id).iteration;
      if (iteration <= max_iteration) clips.emplace(iteration, id);
    }
  }
  std::vector<std::string> ids;
  for (const auto& [iteration, id] : clips) ids.push_back(id);
  return ids;
}

std::vector<std::pair<std::string, std::string>> LabelBook::WinnerPairs(int64_t max_round,
                                                                        int wanted) const {
  if (wanted == 0) return {};
  std::map<int64_t, double> preferences;  // by question
  for (const auto& [id, index] : standing_) {
    const v1::LabelEntry& entry = labels_[index].entry;
    if (!Compares(entry)) continue;
    for (const auto& pair : experience::PairsOf(entry.answer(), entry.clip_ids_size())) {
      preferences[entry.question_id()] += pair.left_preferred - 0.5;
    }
  }
  std::map<std::pair<int64_t, int64_t>, PlayedPair<std::string>> questions;  // by ordinal and id
  for (const auto& [id, question] : questions_) {
    if (question.round > max_round || question.clip_ids.size() != 2) continue;
    questions[{question.ordinal, id}] = {question.clip_ids[0], question.clip_ids[1],
                                         preferences[id]};
  }
  std::vector<PlayedPair<std::string>> played;
  for (const auto& [key, pair] : questions) played.push_back(pair);
  return PairWinners(played, wanted);
}

int64_t LabelBook::Counted(int64_t max_round) const {
  int64_t counted = 0;
  for (const auto& [id, index] : standing_) {
    const v1::LabelEntry& entry = labels_[index].entry;
    counted += Compares(entry) && !entry.surplus() && entry.round() <= max_round;
  }
  return counted;
}

int64_t LabelBook::OpenPlaces(int64_t max_round) const {
  int64_t open = 0;
  for (const auto& [id, question] : questions_) {
    if (question.round <= max_round) open += std::max(0, question.overlap - question.answers);
  }
  return open;
}

}  // namespace backflip::method
