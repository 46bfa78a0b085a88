#include "services/preference_broker/store/answers.h"

namespace backflip::broker {

v1::Choice ChoiceFromField(const pqxx::field& field) {
  v1::Choice choice = v1::CHOICE_UNSPECIFIED;
  if (!field.is_null()) v1::Choice_Parse(Text(field), &choice);
  return choice;
}

v1::Purpose PurposeFromField(const pqxx::field& field) {
  v1::Purpose purpose = v1::PURPOSE_UNSPECIFIED;
  v1::Purpose_Parse(Text(field), &purpose);
  return purpose;
}

v1::Answer AnswerFromFields(const pqxx::field& choice, const pqxx::field& ranking) {
  v1::Answer answer;
  if (!choice.is_null()) {
    answer.set_choice(ChoiceFromField(choice));
  } else if (!ranking.is_null()) {
    answer.mutable_ranking()->ParseFromString(Blob(ranking));
  }
  return answer;
}

v1::Choice Turned(v1::Choice choice) {
  if (choice == v1::LEFT) return v1::RIGHT;
  if (choice == v1::RIGHT) return v1::LEFT;
  return choice;
}

v1::Answer Turned(const v1::Answer& answer, int clips) {
  v1::Answer turned = answer;
  if (answer.has_choice()) turned.set_choice(Turned(answer.choice()));
  if (answer.has_ranking()) {
    for (v1::RankGroup& group : *turned.mutable_ranking()->mutable_groups()) {
      for (int32_t& position : *group.mutable_positions()) position = clips - 1 - position;
    }
  }
  return turned;
}

}  // namespace backflip::broker
