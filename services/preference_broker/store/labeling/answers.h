// Answers as rows hold them.
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

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_ANSWERS_H_
