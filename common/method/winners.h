// A tournament among the clips of a run's questions (queries.winners_share).
#ifndef BACKFLIP_COMMON_METHOD_WINNERS_H_
#define BACKFLIP_COMMON_METHOD_WINNERS_H_

#include <cstddef>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace backflip::method {

// The name of this choice of pairs, as questions and exports record it.
inline constexpr char kWinnersSelector[] = "winners";

// A question about two clips. Clip: what tells clips apart, as ids or pointers do.
template <typename Clip>
struct PlayedPair {
  Clip left = {};
  Clip right = {};
  // Above 0: its answers prefer the left clip; below 0: the right one. 0: not answered yet, alike,
  // or not comparable; its clips play no more, or not before it is answered.
  double preference = 0;
};

// At most `wanted` pairs of clips that won all their questions, and as many of them (Swiss-system
// pairing): first those who won most, and of these who won last. `played` in the order of
// questions. No clip comes twice. The same questions give the same pairs.
template <typename Clip>
std::vector<std::pair<Clip, Clip>> PairWinners(const std::vector<PlayedPair<Clip>>& played,
                                               int wanted) {
  struct Standing {
    int wins = 0;
    size_t last = 0;  // the question that it won last
  };
  std::map<Clip, Standing> standings;
  std::set<Clip> out;
  for (size_t question = 0; question < played.size(); ++question) {
    const auto& [left, right, preference] = played[question];
    if (preference > 0 || preference < 0) {
      Standing& winner = standings[preference > 0 ? left : right];
      ++winner.wins;
      winner.last = question;
    }
    if (!(preference > 0)) out.insert(left);
    if (!(preference < 0)) out.insert(right);
  }
  // by wins, the most first; each by its last question, the newest first
  std::map<int, std::map<size_t, Clip, std::greater<>>, std::greater<>> levels;
  for (const auto& [clip, standing] : standings) {
    if (out.count(clip) == 0) levels[standing.wins][standing.last] = clip;
  }
  std::vector<std::pair<Clip, Clip>> pairs;
  for (const auto& [wins, clips] : levels) {
    for (auto clip = clips.begin(); clip != clips.end() && std::next(clip) != clips.end();) {
      if (static_cast<int>(pairs.size()) >= wanted) return pairs;
      const Clip& left = (clip++)->second;
      pairs.emplace_back(left, (clip++)->second);
    }
  }
  return pairs;
}

}  // namespace backflip::method

#endif  // BACKFLIP_COMMON_METHOD_WINNERS_H_
