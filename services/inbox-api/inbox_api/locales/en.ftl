# The value is the body in the inbox and in a push; the SMS is the same sentence unless it says otherwise.

otp-requested = Spacehub code: { $code }. Enter it within { $minutes } min.
    .title = One-time code
    .sms = { otp-requested }

contract-expiring = Your { $property } { $unit } contract ends on { $date }.
    .title = Contract ending soon
    .sms = { contract-expiring }

bill-issued = { $month_name } bill: ₮{ $amount }. Please pay by { $due_date }.
    .title = New bill
    .sms = { bill-issued }

payment-confirmed = Payment of ₮{ $amount } received. Thank you.
    .title = Payment received
    .sms = { payment-confirmed }

bill-overdue = Payment overdue: ₮{ $amount }.
    .title = Payment overdue
    .sms = { bill-overdue }

sms_budget-threshold_reached = { $month_name } SMS budget: { $level }% used, { $used } of { $limit }.
    .title = SMS budget at { $level }%
    .sms = { sms_budget-threshold_reached }
