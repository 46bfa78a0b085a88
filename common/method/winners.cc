#include "common/method/winners.h"

#include <cmath>
#include <cstddef>
#include <functional>
#include <iterator>
#include <map>
#include <set>

#include "common/base/draws.h"

namespace backflip::method {

std::vector<std::pair<int, int>> PairWinners(const std::vector<PlayedPair>& played, int wanted) {
  struct Standing {
    int wins = 0;
    size_t last = 0;  // the question that it won last
  };
  std::map<int, Standing> standings;
  std::set<int> out;
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
  std::map<int, std::map<size_t, int, std::greater<>>, std::greater<>> levels;
  for (const auto& [clip, standing] : standings) {
    if (out.count(clip) == 0) levels[standing.wins][standing.last] = clip;
  }
  std::vector<std::pair<int, int>> pairs;
  for (const auto& [wins, clips] : levels) {
    for (auto clip = clips.begin(); clip != clips.end() && std::next(clip) != clips.end();) {
      if (static_cast<int>(pairs.size()) >= wanted) return pairs;
      const int left = (clip++)->second;
      pairs.emplace_back(left, (clip++)->second);
    }
  }
  return pairs;
}

int WinnerQuestions(const v1::RunSpec& spec, int64_t round, int questions) {
  const v1::Queries& queries = spec.queries();
  if (queries.clips_per_question() > 2) return 0;
  const double draw = base::UnitInterval(base::SeedOf(spec.seed(), base::Draw::kWinners, round));
  return static_cast<int>(std::floor(queries.winners_share() * questions + draw));
}

}  // namespace backflip::method
