#include "common/method/label_book.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace backflip::method {

void LabelBook::AddClip(const std::string& id, learn::Clip clip, int64_t iteration) {
  if (clips_.count(id) > 0) return;
  clips_[id] = {std::make_shared<const learn::Clip>(std::move(clip)), iteration};
}

absl::Status LabelBook::Check(const LabelEntry& entry) const {
  const size_t clips = entry.clip_ids.size();
  if (clips < 2 || (entry.ranking.empty() && clips != 2)) {
    return absl::FailedPreconditionError(
        absl::StrCat("label feed: label ", entry.label_id, " compares ", clips, " clips"));
  }
  std::vector<int> ranks(clips, 0);
  size_t ranked = 0;
  for (const std::vector<int>& group : entry.ranking) {
    for (const int position : group) {
      if (position < 0 || position >= static_cast<int>(clips) || ranks[position]++ > 0) {
        return absl::FailedPreconditionError(absl::StrCat("label feed: label ", entry.label_id,
                                                          " ranks position ", position, " of ",
                                                          clips, " clips, or ranks it twice"));
      }
      ++ranked;
    }
  }
  if (!entry.ranking.empty() && ranked != clips) {
    return absl::FailedPreconditionError(absl::StrCat("label feed: label ", entry.label_id,
                                                      " ranks ", ranked, " of ", clips, " clips"));
  }
  for (const std::string& id : entry.clip_ids) {
    if (clips_.count(id) == 0) {
      return absl::FailedPreconditionError(
          absl::StrCat("label feed: label ", entry.label_id, " came without its clip ", id));
    }
  }
  return absl::OkStatus();
}

absl::Status LabelBook::Apply(const LabelEntry& entry) {
  if (entry.position <= position()) return absl::OkStatus();
  if (entry.position != position() + 1) {
    return absl::FailedPreconditionError(
        absl::StrCat("label feed: position ", entry.position, " came after ", position()));
  }
  if (Compares(entry)) RETURN_IF_ERROR(Check(entry));

  if (entry.supersedes.has_value()) {
    if (const auto old = standing_.find(*entry.supersedes); old != standing_.end()) {
      Label& label = labels_[old->second];
      label.ended_at = entry.position;
      if (label.entry.purpose == Purpose::kTrain && !label.entry.surplus) {
        --questions_[label.entry.question_id].answers;
      }
      standing_.erase(old);
    }
  }
  labels_.push_back({entry, 0});
  if (entry.purpose == Purpose::kTrain && entry.overlap > 0) {
    AddQuestion(entry.question_id, entry.round);
    questions_[entry.question_id].overlap = entry.overlap;
  }
  if (entry.retraction) return absl::OkStatus();
  standing_[entry.label_id] = labels_.size() - 1;
  if (entry.purpose != Purpose::kTrain) return absl::OkStatus();
  last_round_ = std::max(last_round_, entry.round);
  AddQuestion(entry.question_id, entry.round);
  if (!entry.surplus) ++questions_[entry.question_id].answers;
  return absl::OkStatus();
}

void LabelBook::AddQuestion(int64_t question_id, int64_t round, int overlap) {
  questions_.emplace(question_id, Question{round, 0, overlap > 0 ? overlap : overlap_});
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
  std::stable_sort(entries.begin(), entries.end(), [](const LabelEntry* a, const LabelEntry* b) {
    return a->ordinal < b->ordinal;
  });
  std::vector<Comparison> comparisons;
  comparisons.reserve(entries.size());
  for (const LabelEntry* entry : entries) {
    const auto add = [&](int first, int second, float preferred) {
      comparisons.push_back({entry->label_id, entry->ordinal,
                             clips_.at(entry->clip_ids[first]).clip,
                             clips_.at(entry->clip_ids[second]).clip, preferred, entry->labeler});
    };
    if (entry->ranking.empty()) {
      add(0, 1,
          entry->verdict == Verdict::kFirst    ? 1.0f
          : entry->verdict == Verdict::kSecond ? 0.0f
                                               : 0.5f);
      continue;
    }
    const int clips = static_cast<int>(entry->clip_ids.size());
    std::vector<size_t> rank(clips);
    for (size_t group = 0; group < entry->ranking.size(); ++group) {
      for (const int position : entry->ranking[group]) rank[position] = group;
    }
    for (int first = 0; first < clips; ++first) {
      for (int second = first + 1; second < clips; ++second) {
        add(first, second,
            rank[first] < rank[second]   ? 1.0f
            : rank[first] > rank[second] ? 0.0f
                                         : 0.5f);
      }
    }
  }
  return comparisons;
}

std::map<int, GoldScore> LabelBook::Gold(int64_t position) const {
  std::map<int, GoldScore> scores;
  for (const Label& label : labels_) {
    const LabelEntry& entry = label.entry;
    if (entry.position > position) break;
    const bool stood = label.ended_at == 0 || label.ended_at > position;
    if (!stood || entry.retraction || entry.purpose != Purpose::kGold ||
        entry.verdict == Verdict::kNothing || entry.expected == Verdict::kNothing) {
      continue;
    }
    GoldScore& score = scores[entry.labeler];
    ++(entry.verdict == entry.expected ? score.right : score.wrong);
  }
  return scores;
}

std::vector<std::string> LabelBook::ComparedClips(int64_t max_round, int64_t max_iteration) const {
  std::set<std::pair<int64_t, std::string>> clips;
  for (const Label& label : labels_) {
    if (!Compares(label.entry) || label.entry.round > max_round) continue;
    for (const std::string& id : label.entry.clip_ids) {
      const int64_t iteration = clips_.at(id).iteration;
      if (iteration <= max_iteration) clips.emplace(iteration, id);
    }
  }
  std::vector<std::string> ids;
  for (const auto& [iteration, id] : clips) ids.push_back(id);
  return ids;
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
    if (question.round <= max_round) open += std::max(0, question.overlap - question.answers);
  }
  return open;
}

}  // namespace backflip::method
