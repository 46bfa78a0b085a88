#include "services/preference_broker/store/labeling/answers.h"

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

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

bool Compares(const v1::Answer& answer) {
  return answer.has_ranking() || answer.choice() == v1::LEFT || answer.choice() == v1::RIGHT ||
         answer.choice() == v1::TIE;
}

absl::Status CheckAnswer(absl::string_view field, const v1::Answer& answer, int clips) {
  if (clips == 2) {
    if (answer.has_choice() && answer.choice() != v1::CHOICE_UNSPECIFIED &&
        v1::Choice_IsValid(answer.choice())) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat(field, " must be LEFT, RIGHT, TIE, CANNOT_TELL or BROKEN"));
  }
  if (answer.has_choice() &&
      (answer.choice() == v1::CANNOT_TELL || answer.choice() == v1::BROKEN)) {
    return absl::OkStatus();
  }
  std::vector<bool> ranked(clips);
  int placed = 0;
  for (const v1::RankGroup& group : answer.ranking().groups()) {
    if (group.positions().empty())
      return absl::InvalidArgumentError(absl::StrCat(field, " has an empty group"));
    for (const int32_t position : group.positions()) {
      if (position < 0 || position >= clips || ranked[position]) {
        return absl::InvalidArgumentError(absl::StrCat(field, " ranks position ", position,
                                                       ", but must rank each of 0 to ", clips - 1,
                                                       " once"));
      }
      ranked[position] = true;
      ++placed;
    }
  }
  if (placed == clips) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " ranks ", placed, " of ", clips,
                   " clips: rank each of them, or answer CANNOT_TELL or BROKEN"));
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

}  // namespace backflip::preference_broker
