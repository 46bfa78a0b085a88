#include "services/reward_trainer/label_book.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace backflip::reward_trainer {

void LabelBook::AddClip(const std::string& id, learn::Clip clip) {
  if (clips_.count(id) > 0) return;
  clips_.emplace(id, std::make_shared<const learn::Clip>(std::move(clip)));
}

absl::Status LabelBook::Apply(const LabelEntry& entry) {
  if (entry.position <= position()) return absl::OkStatus();
  if (entry.position != position() + 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("label feed: position ", entry.position, " came after ", position()));
  }
  if (Compares(entry)) {
    if (entry.clip_ids.size() != 2) {
      return absl::FailedPreconditionError(absl::StrCat(
          "label feed: label ", entry.label_id, " compares ", entry.clip_ids.size(), " clips"));
    }
    for (const std::string& id : entry.clip_ids) {
      if (clips_.count(id) == 0) {
        return absl::FailedPreconditionError(absl::StrCat(
            "label feed: label ", entry.label_id, " came without its clip ", id));
      }
    }
  }

  if (entry.supersedes.has_value()) {
    if (const auto old = standing_.find(*entry.supersedes); old != standing_.end()) {
      Label& label = labels_[old->second];
      label.ended_at = entry.position;
      if (label.entry.train && !label.entry.surplus) --questions_[label.entry.question_id].answers;
      standing_.erase(old);
    }
  }
  labels_.push_back({entry, 0});
  if (entry.retraction) return absl::OkStatus();
  standing_[entry.label_id] = labels_.size() - 1;
  if (!entry.train) return absl::OkStatus();
  AddQuestion(entry.question_id, entry.round);
  if (!entry.surplus) ++questions_[entry.question_id].answers;
  return absl::OkStatus();
}

void LabelBook::AddQuestion(int64_t question_id, int64_t round) {
  questions_.emplace(question_id, Question{round, 0});
}

std::vector<Comparison> LabelBook::Comparisons(int64_t max_round, int64_t position) const {
  std::vector<const LabelEntry*> entries;
  for (const Label& label : labels_) {
    if (label.entry.position > position) break;
    const bool stood = label.ended_at == 0 || label.ended_at > position;
    if (stood && Compares(label.entry) && label.entry.round <= max_round) {
      entries.push_back(&label.entry);
    }
  }
  // positions grow already
  std::stable_sort(entries.begin(), entries.end(),
                   [](const LabelEntry* a, const LabelEntry* b) { return a->ordinal < b->ordinal; });
  std::vector<Comparison> comparisons;
  comparisons.reserve(entries.size());
  for (const LabelEntry* entry : entries) {
    const float preferred = entry->verdict == Verdict::kFirst    ? 1.0f
                            : entry->verdict == Verdict::kSecond ? 0.0f
                                                                 : 0.5f;
    comparisons.push_back({entry->label_id, entry->ordinal, clips_.at(entry->clip_ids[0]),
                           clips_.at(entry->clip_ids[1]), preferred});
  }
  return comparisons;
}

int64_t LabelBook::Counted(int64_t max_round) const {
  int64_t counted = 0;
  for (const auto& [id, index] : standing_) {
    const LabelEntry& entry = labels_[index].entry;
    counted += Compares(entry) && !entry.surplus && entry.round <= max_round;
  }
  return counted;
}

int64_t LabelBook::OpenPlaces(int64_t max_round) const {
  int64_t open = 0;
  for (const auto& [id, question] : questions_) {
    if (question.round <= max_round) open += std::max(0, overlap_ - question.answers);
  }
  return open;
}

}  // namespace backflip::reward_trainer
