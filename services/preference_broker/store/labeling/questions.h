// Rounds of questions, as trainers open them.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_QUESTIONS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_QUESTIONS_H_

#include "backflip/v1/label.pb.h"
#include "services/preference_broker/store/db/connection.h"
#include "services/preference_broker/store/people/callers.h"

namespace backflip::preference_broker {

// Idempotent by (run, round). NOT_FOUND names a clip that is not stored.
absl::StatusOr<v1::OpenQuestionsResponse> OpenQuestions(Connection& connection,
                                                        const Caller& caller,
                                                        const v1::OpenQuestionsRequest& request);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_STORE_LABELING_QUESTIONS_H_
