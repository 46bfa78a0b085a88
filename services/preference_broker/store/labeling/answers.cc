#include "services/preference_broker/store/labeling/answers.h"

#include <optional>
#include <string>

namespace backflip::preference_broker {

v1::Answer AnswerFromFields(const pqxx::field& choice, const pqxx::field& ranking) {
  v1::Answer answer;
  if (!choice.is_null()) {
    answer.set_choice(Enum<v1::Choice>(choice));
  } else if (!ranking.is_null()) {
    answer.mutable_ranking()->ParseFromString(Blob(ranking));
  }
  return answer;
}

Param ChoiceField(const v1::Answer& answer) {
  return answer.has_ranking() ? Param(std::nullopt) : Param(v1::Choice_Name(answer.choice()));
}

Param RankingField(const v1::Answer& answer) {
  if (!answer.has_ranking()) return std::nullopt;
  const std::string bytes = answer.ranking().SerializeAsString();
  return Bytes{bytes};
}

}  // namespace backflip::preference_broker
