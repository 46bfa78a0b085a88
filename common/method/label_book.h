// The labels of a run, as its label feed (TrainingService.FollowLabels) sends them.
#ifndef BACKFLIP_COMMON_METHOD_LABEL_BOOK_H_
#define BACKFLIP_COMMON_METHOD_LABEL_BOOK_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "backflip/v1/label.pb.h"
#include "common/experience/answers.h"
#include "common/experience/clip.h"

namespace backflip::method {

// How a labeler did on pairs with a known answer.
struct GoldScore {
  int64_t right = 0;
  int64_t wrong = 0;
};

// Keeps every entry, so that it can say which answers were valid at any position (not yet
// superseded): a checkpoint holds a position and no labels, and finds the labels that it
// was fitted to in this way. Not thread-safe.
class LabelBook {
 public:
  // `overlap`: default number of answers per question.
  explicit LabelBook(int overlap) : overlap_(overlap) {}

  // The feed sends a clip before the first entry that names it, and again on
  // each new stream: a clip that is known stays. `iteration`: the batch it was
  // cut from.
  void AddClip(const std::string& id, experience::Clip clip, int64_t iteration = 0);

  // FAILED_PRECONDITION for an entry that leaves a gap, or that is to be trained on and
  // names a clip that never came, or has an answer that does not fit its clips; nothing is
  // changed then. An entry of a position that was taken in before changes nothing.
  absl::Status Apply(const v1::LabelEntry& entry);

  // A TRAIN question of `round` that has been opened, answered or not, and wants
  // `overlap` answers (0: the default). Questions that the feed has answers to need not
  // be added.
  void AddQuestion(const v1::OpenedQuestion& question, int64_t round);

  // Position of the newest entry; 0: none.
  int64_t position() const { return static_cast<int64_t>(labels_.size()); }

  // The answers that were valid once the entry at `position` had been applied, to
  // questions of rounds <= max_round, ordered by (ordinal, position): LEFT,
  // RIGHT, TIE and rankings to TRAIN questions, surplus ones too. A ranking
  // gives each pair of its clips, ties among them.
  std::vector<experience::Comparison> Comparisons(int64_t max_round, int64_t position) const;

  // How many labels among them count towards the budget: surplus ones do not. A ranking
  // is one label.
  int64_t Counted(int64_t max_round) const;

  // The GOLD answers that were valid once the entry at `position` had been applied, by
  // labeler. "Cannot tell" counts as neither right nor wrong.
  std::map<int, GoldScore> Gold(int64_t position) const;

  // Ids of clips that were compared in questions of rounds <= max_round and
  // cut from batches <= max_iteration, by (iteration, id).
  std::vector<std::string> ComparedClips(int64_t max_round, int64_t max_iteration) const;

  // Ids of at most `wanted` pairs of clips that won all their questions, of rounds <= max_round
  // (common/method/winners.h). Questions that want more answers may change their mind.
  std::vector<std::pair<std::string, std::string>> WinnerPairs(int64_t max_round, int wanted) const;

  // Answers that questions of rounds <= max_round still want. Any answer fills a place,
  // "cannot tell" too; taking an answer back opens its place again.
  int64_t OpenPlaces(int64_t max_round) const;

 private:
  struct FeedEntry {
    v1::LabelEntry entry;
    int64_t ended_at = 0;  // position of the entry that superseded it; 0: none

    bool ValidAt(int64_t position) const { return ended_at == 0 || ended_at > position; }
  };
  struct Question {
    int64_t round = 0;
    int answers = 0;
    int overlap = 1;
    int64_t ordinal = 0;
    std::vector<std::string> clip_ids;
  };
  struct KnownClip {
    experience::ClipPointer clip;
    int64_t iteration = 0;
  };

  // Whether it is trained on.
  static bool Compares(const v1::LabelEntry& entry) {
    return entry.purpose() == v1::TRAIN && !entry.retraction() &&
           experience::Compares(entry.answer());
  }
  absl::Status Check(const v1::LabelEntry& entry) const;
  // The question of a TRAIN entry, added where it is new.
  Question& QuestionOf(const v1::LabelEntry& entry);

  const int overlap_;
  std::map<std::string, KnownClip> clips_;
  std::vector<FeedEntry> labels_;       // of position 1, 2, …
  std::map<int64_t, size_t> standing_;  // label id → index in labels_: not superseded
  std::map<int64_t, Question> questions_;
};

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_LABEL_BOOK_H_
