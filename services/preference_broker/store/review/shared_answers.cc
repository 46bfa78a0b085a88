#include "services/preference_broker/store/review/shared_answers.h"

#include <map>
#include <utility>

#include "common/experience/answers.h"
#include "services/preference_broker/store/labeling/answers.h"

namespace backflip::preference_broker {

std::vector<SharedAnswer> SharedAnswers(Transaction& t, int64_t run_id) {
  std::vector<SharedAnswer> answers;
  // a question has more answers than it wants only where some are a surplus
  for (const auto& row : t.Exec(R"sql(
           SELECT l.question_id, l.caller_id, s.turned, l.choice, l.ranking,
             CASE WHEN l.ranking IS NULL THEN 2 ELSE
               (SELECT count(*) FROM question_clips p WHERE p.question_id = l.question_id) END
           FROM standing_labels l JOIN leases s ON s.id = l.lease_id
           WHERE ($1::bigint = 0 OR l.run_id = $1) AND l.question_id IN (
             SELECT id FROM questions WHERE overlap > 1 AND ($1::bigint = 0 OR run_id = $1)
             UNION SELECT question_id FROM labels
               WHERE surplus AND ($1::bigint = 0 OR run_id = $1))
           ORDER BY l.question_id, l.id)sql",
                                run_id)) {
    SharedAnswer& answer = answers.emplace_back();
    answer.question = Int(row[0]);
    answer.caller = Int(row[1]);
    answer.clips = Int(row[5]);
    answer.answer = AnswerFromFields(row[3], row[4]);
    if (Bool(row[2])) answer.answer = experience::Turned(answer.answer, answer.clips);
  }
  return answers;
}

std::vector<int> PairValues(const SharedAnswer& answer) {
  std::vector<int> values;
  for (const auto& pair : experience::PairsOf(answer.answer, answer.clips)) {
    values.push_back(static_cast<int>(2 - 2 * pair.left_preferred));
  }
  return values;
}

SharedVotes VotesOf(const std::vector<SharedAnswer>& answers) {
  SharedVotes shared;
  std::map<int64_t, int> places;
  for (size_t begin = 0, end = 0; begin < answers.size(); begin = end) {
    std::vector<std::pair<int64_t, std::vector<int>>> said;
    for (end = begin; end < answers.size() && answers[end].question == answers[begin].question;
         ++end) {
      std::vector<int> values = PairValues(answers[end]);
      if (!values.empty()) said.emplace_back(answers[end].caller, std::move(values));
    }
    if (said.size() < 2) continue;
    ++shared.questions;
    shared.answers += said.size();
    for (const auto& [caller, values] : said) {
      const auto [place, fresh] = places.emplace(caller, static_cast<int>(shared.callers.size()));
      if (fresh) shared.callers.push_back(caller);
      for (size_t i = 0; i < values.size(); ++i) {
        shared.votes.push_back({shared.items + static_cast<int>(i), place->second, values[i]});
      }
    }
    shared.items += said.front().second.size();
  }
  return shared;
}

}  // namespace backflip::preference_broker
