// The labels of a run, as its label feed tells them.
#ifndef BACKFLIP_SERVICES_REWARD_TRAINER_LABEL_BOOK_H_
#define BACKFLIP_SERVICES_REWARD_TRAINER_LABEL_BOOK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/learn/reward_ensemble.h"

namespace backflip::reward_trainer {

using ClipPointer = std::shared_ptr<const learn::Clip>;

enum class Verdict {
  kFirst,   // the first clip of the pair is better
  kSecond,  // the second is
  kTie,
  // Cannot tell, a broken clip, or an answer of a kind that is not trained on.
  kNothing,
};

// One entry of the feed.
struct LabelEntry {
  int64_t position = 0;  // from 1, without gaps
  int64_t label_id = 0;
  int64_t question_id = 0;
  int64_t ordinal = 0;  // of the question, among the run's
  int64_t round = 0;
  bool train = true;  // false: asked to check labelers, not to train on
  std::vector<std::string> clip_ids;
  Verdict verdict = Verdict::kNothing;
  bool surplus = false;
  std::optional<int64_t> supersedes;
  bool retraction = false;
};

// A comparison that may be trained on.
struct Comparison {
  int64_t label_id = 0;
  int64_t ordinal = 0;
  ClipPointer first, second;
  float first_preferred = 0.5f;  // 1, 0, or one half for a tie
};

// Keeps every entry, so that it can say what stood at any position: that is
// how a checkpoint, which holds a position and no labels, finds the labels that
// it was fitted to. Not thread-safe.
class LabelBook {
 public:
  // `overlap`: answers that each question wants.
  explicit LabelBook(int overlap) : overlap_(overlap) {}

  // The feed sends a clip before the first entry that names it, and again on
  // each new stream: a clip that is known stays.
  void AddClip(const std::string& id, learn::Clip clip);

  // FAILED_PRECONDITION for an entry that leaves a gap, or that is to be
  // trained on and names a clip that never came; nothing is changed then. An
  // entry of a position that was taken in before changes nothing.
  absl::Status Apply(const LabelEntry& entry);

  // A question of `round` that has been opened, answered or not. Those that the
  // feed has answers to need no mention.
  void AddQuestion(int64_t question_id, int64_t round);

  // Position of the newest entry; 0: none.
  int64_t position() const { return static_cast<int64_t>(labels_.size()); }

  // The answers that stood once the entry at `position` had been applied, to
  // questions of rounds <= max_round, ordered by (ordinal, position): LEFT,
  // RIGHT and TIE to TRAIN questions, surplus ones too.
  std::vector<Comparison> Comparisons(int64_t max_round, int64_t position) const;

  // How many of them count towards the budget: those that are no surplus.
  int64_t Counted(int64_t max_round) const;

  // Answers that questions of rounds <= max_round still want. Any answer fills
  // a place, "cannot tell" too; one that is taken back leaves it open again.
  int64_t OpenPlaces(int64_t max_round) const;

 private:
  struct Label {
    LabelEntry entry;
    int64_t ended_at = 0;  // position of the entry that took it back; 0: stands
  };
  struct Question {
    int64_t round = 0;
    int answers = 0;
  };

  static bool Compares(const LabelEntry& entry) {
    return entry.train && !entry.retraction && entry.verdict != Verdict::kNothing;
  }

  const int overlap_;
  std::map<std::string, ClipPointer> clips_;
  std::vector<Label> labels_;             // of position 1, 2, …
  std::map<int64_t, size_t> standing_;    // label id → index in labels_
  std::map<int64_t, Question> questions_;
};

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_SERVICES_REWARD_TRAINER_LABEL_BOOK_H_
