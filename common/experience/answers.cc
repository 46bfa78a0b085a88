#include "common/experience/answers.h"

#include "absl/strings/str_cat.h"

namespace backflip::experience {

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

bool Compares(const v1::Answer& answer) {
  return answer.has_ranking() || answer.choice() == v1::LEFT || answer.choice() == v1::RIGHT ||
         answer.choice() == v1::TIE;
}

std::vector<PairPreference> PairsOf(const v1::Answer& answer, int clips) {
  if (!Compares(answer)) return {};
  if (!answer.has_ranking()) {
    return {{0, 1,
             answer.choice() == v1::LEFT    ? 1.0f
             : answer.choice() == v1::RIGHT ? 0.0f
                                            : 0.5f}};
  }
  std::vector<int> rank(clips);
  for (int group = 0; group < answer.ranking().groups_size(); ++group) {
    for (const int32_t position : answer.ranking().groups(group).positions()) {
      if (position >= 0 && position < clips) rank[position] = group;
    }
  }
  std::vector<PairPreference> pairs;
  for (int left = 0; left < clips; ++left) {
    for (int right = left + 1; right < clips; ++right) {
      pairs.push_back({left, right,
                       rank[left] < rank[right]   ? 1.0f
                       : rank[left] > rank[right] ? 0.0f
                                                  : 0.5f});
    }
  }
  return pairs;
}

std::optional<int> PreferredOf(const v1::Answer& answer) {
  if (answer.choice() == v1::LEFT) return 0;
  if (answer.choice() == v1::RIGHT) return 1;
  if (answer.ranking().groups_size() < 2) return std::nullopt;
  return answer.ranking().groups(0).positions(0);
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

}  // namespace backflip::experience
