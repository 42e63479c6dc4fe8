# The value is the body in the inbox and in a push; the SMS is the same sentence unless it says otherwise.

otp-requested = Spacehub код: { $code }. { $minutes } мин дотор оруулна уу.
    .title = Нэг удаагийн код
    .sms = { otp-requested }

contract-expiring = Таны { $property } { $unit } тооцоо { $date }-нд дуусна.
    .title = Гэрээний хугацаа дуусах нь
    .sms = { contract-expiring }

bill-issued = { $month_number }-р сарын төлбөр: ₮{ $amount }. { $due_date }-ийн дотор төлнө үү.
    .title = Шинэ төлбөр
    .sms = { bill-issued }

payment-confirmed = Төлбөр ₮{ $amount } хүлээн авлаа. Баярлалаа.
    .title = Төлбөр төлөгдлөө
    .sms = { payment-confirmed }

bill-overdue = Төлбөрийн хугацаа хэтэрсэн: ₮{ $amount }.
    .title = Төлбөрийн хугацаа хэтэрлээ
    .sms = { bill-overdue }

sms_budget-threshold_reached = { $month_number }-р сарын SMS төсвийн { $level }% ашиглагдлаа: { $used }/{ $limit }.
    .title = SMS төсөв { $level }%
    .sms = { sms_budget-threshold_reached }
