// Answers to questions: what they must be, and what they say about pairs of clips.
#ifndef BACKFLIP_COMMON_EXPERIENCE_ANSWERS_H_
#define BACKFLIP_COMMON_EXPERIENCE_ANSWERS_H_

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backflip/v1/label.pb.h"

namespace backflip::experience {

// Checks an answer to a question of `clips` clips (2 to 8): a choice for a pair;
// for more, a ranking that holds every position once, or that they cannot be
// compared. INVALID_ARGUMENT names `field`.
absl::Status CheckAnswer(absl::string_view field, const v1::Answer& answer, int clips);

// Whether the answer says which clip is better, or that they are alike: only such
// answers are trained on.
bool Compares(const v1::Answer& answer);

// Preference between two of a question's clips, by their positions.
struct PairPreference {
  int left = 0;
  int right = 0;                // greater than `left`
  float left_preferred = 0.5f;  // 1 left, 0 right, 0.5 alike
};

// What `answer` says about each pair of `clips` clips, in the order of (left,
// right); empty where it does not compare. CheckAnswer must have accepted it.
std::vector<PairPreference> PairsOf(const v1::Answer& answer, int clips);

// The position of the clip that `answer` prefers to others; of a ranking's best group the first.
// None where all are alike, or it does not compare.
std::optional<int> PreferredOf(const v1::Answer& answer);

// The same answer when the question's `clips` are shown in reverse. Its own inverse.
v1::Choice Turned(v1::Choice choice);
v1::Answer Turned(const v1::Answer& answer, int clips);

}  // namespace backflip::experience

#endif  // BACKFLIP_COMMON_EXPERIENCE_ANSWERS_H_
