// A tournament among the clips of a run's questions (queries.winners_share).
#ifndef BACKFLIP_COMMON_METHOD_WINNERS_H_
#define BACKFLIP_COMMON_METHOD_WINNERS_H_

#include <cstdint>
#include <utility>
#include <vector>

#include "backflip/v1/run.pb.h"

namespace backflip::method {

// The name of this choice of pairs, as questions and exports record it.
inline constexpr char kWinnersSelector[] = "winners";

// A question about two clips, which callers number as they like.
struct PlayedPair {
  int left = 0;
  int right = 0;
  // Above 0: its answers prefer the left clip; below 0: the right one. 0: not answered yet, alike,
  // or not comparable; its clips play no more, or not before it is answered.
  double preference = 0;
};

// At most `wanted` pairs of clips that won all their questions, and as many of them (Swiss-system
// pairing): first those who won most, and of these who won last. `played` in the order of
// questions. No clip comes twice. The same arguments give the same pairs.
std::vector<std::pair<int, int>> PairWinners(const std::vector<PlayedPair>& played, int wanted);

// How many of `round`'s `questions` are to be about winners: queries.winners_share of them, rounded
// up or down by (seed, round). 0 where questions are rankings.
int WinnerQuestions(const v1::RunSpec& spec, int64_t round, int questions);

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_WINNERS_H_
