#include "services/preference_broker/store/review/shared_answers.h"

#include <map>
#include <utility>

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
    if (Bool(row[2])) answer.answer = Turned(answer.answer, answer.clips);
  }
  return answers;
}

std::vector<PairValue> PairValues(const SharedAnswer& answer) {
  if (answer.answer.has_ranking()) {
    std::vector<int> rank(answer.clips);
    for (int group = 0; group < answer.answer.ranking().groups_size(); ++group) {
      for (const int32_t position : answer.answer.ranking().groups(group).positions()) {
        if (position >= 0 && position < answer.clips) rank[position] = group;
      }
    }
    std::vector<PairValue> values;
    for (int i = 0; i < answer.clips; ++i) {
      for (int j = i + 1; j < answer.clips; ++j) {
        values.push_back(rank[i] < rank[j]   ? kFirstBetter
                         : rank[i] > rank[j] ? kSecondBetter
                                             : kEqual);
      }
    }
    return values;
  }
  switch (answer.answer.choice()) {
    case v1::LEFT:
      return {kFirstBetter};
    case v1::TIE:
      return {kEqual};
    case v1::RIGHT:
      return {kSecondBetter};
    default:
      return {};
  }
}

SharedVotes VotesOf(const std::vector<SharedAnswer>& answers) {
  SharedVotes shared;
  std::map<int64_t, int> places;
  for (size_t begin = 0, end = 0; begin < answers.size(); begin = end) {
    std::vector<std::pair<int64_t, std::vector<PairValue>>> said;
    for (end = begin; end < answers.size() && answers[end].question == answers[begin].question;
         ++end) {
      std::vector<PairValue> values = PairValues(answers[end]);
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
