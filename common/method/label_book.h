// The labels of a run, as its label feed tells them.
#ifndef BACKFLIP_COMMON_METHOD_LABEL_BOOK_H_
#define BACKFLIP_COMMON_METHOD_LABEL_BOOK_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/learn/reward/ensemble.h"

namespace backflip::method {

using ClipPointer = std::shared_ptr<const learn::Clip>;

enum class Verdict {
  kFirst,   // the first clip of the pair is better
  kSecond,  // the second is
  kTie,
  kNothing,  // cannot tell, or a broken clip; or the answer is a ranking
};

// What a question was asked for, as far as it matters here.
enum class Purpose {
  kTrain,
  kGold,  // the right answer is known
  kOther,
};

// One entry of the feed.
struct LabelEntry {
  int64_t position = 0;  // from 1, without gaps
  int64_t label_id = 0;
  int64_t question_id = 0;
  int64_t ordinal = 0;  // of the question, among the run's
  int64_t round = 0;
  Purpose purpose = Purpose::kTrain;
  std::vector<std::string> clip_ids;
  Verdict verdict = Verdict::kNothing;
  // Positions in clip_ids, best first; those of one group are equally good.
  // Empty unless the answer is a ranking.
  std::vector<std::vector<int>> ranking;
  Verdict expected = Verdict::kNothing;  // kGold: what is right
  int labeler = 0;
  // Answers that the question wants by now; 0: as was said before.
  int overlap = 0;
  bool surplus = false;
  std::optional<int64_t> supersedes;
  bool retraction = false;
};

// A comparison that may be trained on: a label, or one of the pairs that the
// label, a ranking, is made of.
struct Comparison {
  int64_t label_id = 0;
  int64_t ordinal = 0;
  ClipPointer first, second;
  float first_preferred = 0.5f;  // 1, 0, or one half for a tie
  int labeler = 0;
};

// How a labeler did on pairs with a known answer.
struct GoldScore {
  int64_t right = 0;
  int64_t wrong = 0;
};

// Keeps every entry, so that it can say what stood at any position: that is
// how a checkpoint, which holds a position and no labels, finds the labels that
// it was fitted to. Not thread-safe.
class LabelBook {
 public:
  // `overlap`: answers that a question wants that nothing else is said of.
  explicit LabelBook(int overlap) : overlap_(overlap) {}

  // The feed sends a clip before the first entry that names it, and again on
  // each new stream: a clip that is known stays. `iteration`: the batch it was
  // cut from.
  void AddClip(const std::string& id, learn::Clip clip, int64_t iteration = 0);

  // FAILED_PRECONDITION for an entry that leaves a gap, or that is to be
  // trained on and names a clip that never came, or ranks other positions than
  // those of its clips; nothing is changed then. An
  // entry of a position that was taken in before changes nothing.
  absl::Status Apply(const LabelEntry& entry);

  // A question to train on of `round` that has been opened, answered or not, and
  // wants `overlap` answers (0: as many as by default). Those that the feed has
  // answers to need no mention.
  void AddQuestion(int64_t question_id, int64_t round, int overlap = 0);

  // Position of the newest entry; 0: none.
  int64_t position() const { return static_cast<int64_t>(labels_.size()); }

  // The answers that stood once the entry at `position` had been applied, to
  // questions of rounds <= max_round, ordered by (ordinal, position): LEFT,
  // RIGHT, TIE and rankings to TRAIN questions, surplus ones too. A ranking
  // gives each pair of its clips, ties among them.
  std::vector<Comparison> Comparisons(int64_t max_round, int64_t position) const;

  // How many labels among them count towards the budget: those that are no
  // surplus. A ranking is one label.
  int64_t Counted(int64_t max_round) const;

  // The GOLD answers that stood once the entry at `position` had been applied,
  // by labeler. Who could not tell was neither right nor wrong.
  std::map<int, GoldScore> Gold(int64_t position) const;

  // Ids of clips that were compared in questions of rounds <= max_round and
  // cut from batches <= max_iteration, by (iteration, id).
  std::vector<std::string> ComparedClips(int64_t max_round, int64_t max_iteration) const;

  // The greatest round of a question with an answer; -1: none.
  int64_t LastRound() const { return last_round_; }

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
    int overlap = 1;
  };
  struct KnownClip {
    ClipPointer clip;
    int64_t iteration = 0;
  };

  static bool Compares(const LabelEntry& entry) {
    return entry.purpose == Purpose::kTrain && !entry.retraction &&
           (entry.verdict != Verdict::kNothing || !entry.ranking.empty());
  }
  absl::Status Check(const LabelEntry& entry) const;

  const int overlap_;
  std::map<std::string, KnownClip> clips_;
  std::vector<Label> labels_;           // of position 1, 2, …
  std::map<int64_t, size_t> standing_;  // label id → index in labels_
  std::map<int64_t, Question> questions_;
  int64_t last_round_ = -1;
};

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_LABEL_BOOK_H_
