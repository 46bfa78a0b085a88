// Answers as rows hold them, and turned between the order in which clips were shown and the
// question's own.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_ANSWERS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_ANSWERS_H_

#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// From labels.choice and labels.ranking (a Ranking's bytes); not set when both are NULL.
v1::Answer AnswerFromFields(const pqxx::field& choice, const pqxx::field& ranking);
// What labels.choice and labels.ranking hold of an answer: one of the two is NULL.
Param ChoiceField(const v1::Answer& answer);
Param RankingField(const v1::Answer& answer);

// Whether `answer` is one to a question of so many clips: a choice for a pair,
// every position once in a ranking's groups for more. INVALID_ARGUMENT, with
// `field`'s name.
absl::Status CheckAnswer(absl::string_view field, const v1::Answer& answer, int clips);

// Whether it says which clip is better, or that they are alike: what is trained on.
bool Compares(const v1::Answer& answer);

// The same answer when the question's `clips` are shown in reverse. Its own inverse.
v1::Choice Turned(v1::Choice choice);
v1::Answer Turned(const v1::Answer& answer, int clips);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_ANSWERS_H_
