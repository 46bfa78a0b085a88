// Answers to questions: what they must be, and what they say about pairs of clips.
#ifndef BACKFLIP_COMMON_EXPERIENCE_ANSWERS_H_
#define BACKFLIP_COMMON_EXPERIENCE_ANSWERS_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "backflip/v1/label.pb.h"

namespace backflip::experience {

// Whether `answer` is one to a question of so many clips (2 to 8): a choice for a
// pair, every position once in a ranking's groups for more. INVALID_ARGUMENT, with
// `field`'s name.
absl::Status CheckAnswer(absl::string_view field, const v1::Answer& answer, int clips);

// Whether it says which clip is better, or that they are alike: what is trained on.
bool Compares(const v1::Answer& answer);

// Preference between two of a question's clips, by their positions.
struct PairPreference {
  int left = 0;
  int right = 0;                // greater than `left`
  float left_preferred = 0.5f;  // 1 left, 0 right, 0.5 alike
};

// What `answer`, which CheckAnswer accepted for so many clips, says of each pair of
// them, in the order of (left, right); nothing where it does not compare.
std::vector<PairPreference> PairsOf(const v1::Answer& answer, int clips);

// The same answer when the question's `clips` are shown in reverse. Its own inverse.
v1::Choice Turned(v1::Choice choice);
v1::Answer Turned(const v1::Answer& answer, int clips);

}  // namespace backflip::experience

#endif  // BACKFLIP_COMMON_EXPERIENCE_ANSWERS_H_
