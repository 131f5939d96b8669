"""Examples shown in the OpenAPI document: one customer with a direct debit, one with a card.

For display only, which is why amounts are floats here.
"""

from typing import Any, Final

_Examples = tuple[dict[str, Any], ...]

PREAUTH_REQUESTS: Final[_Examples] = (
    {
        "pspSettingsId": "65a7f0aac2d3e4f506172801",
        "transactionId": "20260115-65a7f1c2c2d3e4f506172a01",
        "requestedAmount": 49.9,
        "currency": "EUR",
        "webhookTarget": "https://transform.example/hooks/psp",
        "paymentMeansReference": {
            "initialBearer": {"Holder": "Mia Kern", "IBAN": "DE89370400440532013000"},
            "role": "Debit",
            "successReturnUrl": "https://shop.example/ok",
            "errorReturnUrl": "https://shop.example/error",
            "abortReturnUrl": "https://shop.example/abort",
        },
        "transactionReferenceText": "20260115-65a7f1c2c2d3e4f506172a01 Basic plan KLMNO",
        "payerData": {
            "externalCustomerId": "C-1007",
            "firstName": "Mia",
            "lastName": "Kern",
            "emailAddress": "mia.kern@example.org",
            "language": "DE",
            "address": {
                "street": "Lindenweg",
                "houseNumber": "4a",
                "postalCode": "60311",
                "city": "Frankfurt am Main",
                "country": "DE",
            },
        },
        "orderData": {
            "planName": "Basic",
            "nextPaymentDate": "2026-02-15T00:00:00.0000000Z",
            "feePeriod": {"unit": "Month", "quantity": 1},
            "recurringFee": 49.9,
        },
        "agreementId": "65a7f0b1c2d3e4f506172840",
        "isInitial": True,
    },
    {
        "pspSettingsId": "65a7f0aac2d3e4f506172801",
        "transactionId": "20260115-65a7f1c2c2d3e4f506172a02",
        "requestedAmount": 119.0,
        "currency": "EUR",
        "webhookTarget": "https://transform.example/hooks/psp",
        "paymentMeansReference": {
            "role": "CreditCard",
            "successReturnUrl": "https://shop.example/ok?trx=a02",
            "errorReturnUrl": "https://shop.example/error?trx=a02",
            "abortReturnUrl": "https://shop.example/abort?trx=a02",
        },
        "transactionReferenceText": "20260115-65a7f1c2c2d3e4f506172a02 Pro plan PQRST",
        "payerData": {
            "companyName": "Nordlicht GmbH",
            "emailAddress": "billing@nordlicht.example",
            "language": "EN",
            "address": {"postalCode": "20095", "city": "Hamburg", "country": "DE"},
        },
        "orderData": {
            "planName": "Pro",
            "nextPaymentDate": "2026-02-15T00:00:00.0000000Z",
            "feePeriod": {"unit": "Month", "quantity": 1},
            "recurringFee": 119.0,
            "externalContractId": "K-2209",
        },
        "agreementId": "65a7f0b1c2d3e4f506172839",
        "isInitial": True,
    },
    {
        "pspSettingsId": "65a7f0aac2d3e4f506172801",
        "transactionId": "20260301-65e1a0d4c2d3e4f506172b01",
        "requestedAmount": 30.0,
        "currency": "EUR",
        "webhookTarget": "https://transform.example/hooks/psp",
        "paymentMeansReference": {
            "role": "CreditCard",
            "successReturnUrl": "https://shop.example/ok",
            "errorReturnUrl": "https://shop.example/error",
            "abortReturnUrl": "https://shop.example/abort",
        },
        "transactionReferenceText": "20260301-65e1a0d4c2d3e4f506172b01 Plan change UVWXY",
        "payerData": {
            "companyName": "Nordlicht GmbH",
            "address": {"postalCode": "20095", "city": "Hamburg", "country": "DE"},
        },
        "agreementId": "65a7f0b1c2d3e4f506172839",
    },
)

PAYMENT_REQUESTS: Final[_Examples] = (
    {
        "pspSettingsId": "65a7f0aac2d3e4f506172801",
        "transactionId": "20260115-65a7f2d3c2d3e4f506172c01",
        "preauthTransactionId": "20260115-65a7f1c2c2d3e4f506172a02",
        "requestedAmount": 119.0,
        "currency": "EUR",
        "webhookTarget": "https://transform.example/hooks/psp",
        "paymentMeansReference": {
            "role": "CreditCard",
            "abortReturnUrl": "https://shop.example/abort",
        },
        "transactionReferenceText": "20260115-65a7f2d3c2d3e4f506172c01 Pro plan ZABCD",
        "payerData": {
            "companyName": "Nordlicht GmbH",
            "address": {"postalCode": "20095", "city": "Hamburg", "country": "DE"},
        },
        "agreementId": "65a7f0b1c2d3e4f506172839",
    },
    {
        "pspSettingsId": "65a7f0aac2d3e4f506172801",
        "transactionId": "20260215-65ce8a11c2d3e4f506172c02",
        "requestedAmount": 49.9,
        "currency": "EUR",
        "webhookTarget": "https://transform.example/hooks/psp",
        "paymentMeansReference": {
            "role": "Debit",
            "successReturnUrl": "https://shop.example/ok",
            "errorReturnUrl": "https://shop.example/error",
            "abortReturnUrl": "https://shop.example/abort",
        },
        "transactionReferenceText": "20260215-65ce8a11c2d3e4f506172c02 Basic plan EFGHI",
        "transactionInvoiceReferenceText": "INV-2026-0042 Basic plan EFGHI",
        "payerData": {
            "firstName": "Mia",
            "lastName": "Kern",
            "emailAddress": "mia.kern@example.org",
            "language": "DE",
            "address": {"postalCode": "60311", "city": "Frankfurt am Main", "country": "DE"},
        },
        "plannedExecutionDate": "2026-02-19",
        "invoiceData": {
            "invoiceDate": "2026-02-15",
            "dueDate": "2026-02-19",
            "description": "Basic plan February 2026",
            "lineItems": [
                {
                    "taxCategory": "VatStandard",
                    "description": "Basic plan",
                    "totalGross": 49.9,
                    "totalNet": 41.93,
                    "vatPercentage": 19,
                    "periodStart": "2026-02-15T00:00:00.0000000Z",
                    "periodEnd": "2026-03-15T00:00:00.0000000Z",
                    "pricePerUnit": 41.93,
                    "quantity": 1,
                }
            ],
        },
        "agreementId": "65a7f0b1c2d3e4f506172840",
    },
)

REFUND_REQUESTS: Final[_Examples] = (
    {
        "transactionId": "20260220-65d4f7b2c2d3e4f506172d01",
        "requestedAmount": 19.0,
        "currency": "EUR",
        "webhookTarget": "https://transform.example/hooks/psp",
        "pspSettingsId": "65a7f0aac2d3e4f506172801",
        "paymentTransactionId": "20260115-65a7f2d3c2d3e4f506172c01",
    },
)

CANCELLATION_REQUESTS: Final[_Examples] = ({"pspSettingsId": "65a7f0aac2d3e4f506172801"},)

FINALIZE_REQUESTS: Final[_Examples] = (
    {
        "transactionId": "20260115-65a7f1c2c2d3e4f506172a02",
        "finalizationData": {
            "invoice": "20260115-65a7f1c2c2d3e4f506172a02",
            "pactasTransactionId": "20260115-65a7f1c2c2d3e4f506172a02",
        },
    },
)

PREAUTH_RESPONSES: Final[_Examples] = (
    {
        "transactionId": "20260115-65a7f1c2c2d3e4f506172a01",
        "externalTransactionId": "6787a0e5d1b2c3a4f5e60001",
        "pspTransactionId": "mdt_77f0a1",
        "currency": "EUR",
        "requestedAmount": 49.9,
        "authorizedAmount": 0,
        "bearer": {
            "Holder": "Mia Kern",
            "IBAN": "DE89370400440532013000",
            "MandateId": "mdt_77f0a1",
        },
        "status": "Succeeded",
        "lastUpdated": "2026-01-15T09:00:01.2345670Z",
    },
    {
        "transactionId": "20260115-65a7f1c2c2d3e4f506172a02",
        "externalTransactionId": "6787a0e5d1b2c3a4f5e60002",
        "currency": "EUR",
        "requestedAmount": 119.0,
        "authorizedAmount": 0,
        "redirectUrl": "https://checkout.psp.example/s/cs_9a8b7c",
        "status": "Initiated",
        "lastUpdated": "2026-01-15T09:05:00.0000010Z",
    },
    {
        "transactionId": "20260115-65a7f1c2c2d3e4f506172a02",
        "externalTransactionId": "6787a0e5d1b2c3a4f5e60002",
        "pspTransactionId": "tx_4d5e6f",
        "currency": "EUR",
        "requestedAmount": 119.0,
        "authorizedAmount": 119.0,
        "expiresAt": "2026-01-22T09:07:30.5000000Z",
        "bearer": {
            "CardType": "visa",
            "Country": "DE",
            "MaskedCardPan": "411111XXXXXX1111",
            "Last4": "1111",
            "ExpiryMonth": "8",
            "ExpiryYear": "2028",
        },
        "status": "Succeeded",
        "lastUpdated": "2026-01-15T09:07:30.6000000Z",
    },
)

PAYMENT_RESPONSES: Final[_Examples] = (
    {
        "transactionId": "20260115-65a7f2d3c2d3e4f506172c01",
        "externalTransactionId": "6787a1f0d1b2c3a4f5e60004",
        "pspTransactionId": "tx_4d5e70",
        "currency": "EUR",
        "requestedAmount": 119.0,
        "payments": [
            {
                "externalItemId": "tx_4d5e70",
                "amount": 119.0,
                "bookingDate": "2026-01-15",
                "description": "Card capture",
            }
        ],
        "chargebacks": [],
        "refundedAmount": 0,
        "refundableAmount": 119.0,
        "bearer": {
            "CardType": "visa",
            "Country": "DE",
            "MaskedCardPan": "411111XXXXXX1111",
            "Last4": "1111",
            "ExpiryMonth": "8",
            "ExpiryYear": "2028",
        },
        "status": "Succeeded",
        "lastUpdated": "2026-01-15T09:08:02.0000000Z",
    },
    {
        "transactionId": "20260215-65ce8a11c2d3e4f506172c02",
        "externalTransactionId": "67b0415cd1b2c3a4f5e60005",
        "pspTransactionId": "dd_301",
        "currency": "EUR",
        "requestedAmount": 49.9,
        "payments": [],
        "chargebacks": [],
        "refundedAmount": 0,
        "refundableAmount": 0,
        "bearer": {
            "Holder": "Mia Kern",
            "IBAN": "DE89370400440532013000",
            "MandateId": "mdt_77f0a1",
        },
        "dueDate": "2026-02-19T00:00:00.0000000Z",
        "status": "Pending",
        "lastUpdated": "2026-02-15T06:00:00.4200000Z",
    },
    {
        "transactionId": "20260215-65ce8a11c2d3e4f506172c02",
        "externalTransactionId": "67b0415cd1b2c3a4f5e60005",
        "pspTransactionId": "dd_301",
        "currency": "EUR",
        "requestedAmount": 49.9,
        "payments": [
            {
                "externalItemId": "dd_301-1",
                "amount": 49.9,
                "bookingDate": "2026-02-20",
                "description": "Direct debit settled",
            }
        ],
        "chargebacks": [
            {
                "externalItemId": "dd_301-cb",
                "amount": 49.9,
                "feeAmount": 3.5,
                "bookingDate": "2026-03-03",
                "reason": "InsufficientBalance",
                "pspReasonCode": "AM04",
                "pspReasonMessage": "Account not covered",
            }
        ],
        "refundedAmount": 0,
        "refundableAmount": 0,
        "bearer": {
            "Holder": "Mia Kern",
            "IBAN": "DE89370400440532013000",
            "MandateId": "mdt_77f0a1",
        },
        "dueDate": "2026-02-19T00:00:00.0000000Z",
        "status": "Succeeded",
        "lastUpdated": "2026-03-03T05:30:00.0000000Z",
    },
)

REFUND_RESPONSES: Final[_Examples] = (
    {
        "transactionId": "20260220-65d4f7b2c2d3e4f506172d01",
        "externalTransactionId": "67b70a12d1b2c3a4f5e60006",
        "pspTransactionId": "rf_88",
        "currency": "EUR",
        "requestedAmount": 19.0,
        "refundedAmount": 19.0,
        "bookingDate": "2026-02-20",
        "description": "Partial refund",
        "status": "Succeeded",
        "lastUpdated": "2026-02-20T11:00:00.0000000Z",
    },
)

ERRORS: Final[_Examples] = (
    {
        "errorCode": "InsufficientBalance",
        "errorMessage": "Not enough funds (simulated).",
        "pspErrorCode": "insufficient_funds",
        "receivedAt": "2026-02-15T06:01:10.0000000Z",
        "status": "Failed",
    },
    {
        "errorCode": "InvalidData",
        "errorMessage": "Setting 'ApiKey' is required.",
        "receivedAt": "2026-01-14T16:20:05.0012300Z",
        "status": "Failed",
    },
)

CANCELLATION_RESPONSES: Final[_Examples] = (
    {"cancellationStatus": "Succeeded", "transactionId": "20260301-65e1a0d4c2d3e4f506172b01"},
)

SETTINGS: Final[_Examples] = (
    {
        "merchantSettings": [
            {"keyName": "ApiKey", "keyValue": "key_51xyz"},
            {"keyName": "Mode", "keyValue": "test"},
        ]
    },
)

SETTINGS_RESPONSES: Final[_Examples] = (
    {
        "isCreditCardValid": True,
        "isDebitValid": True,
        "isOnAccountValid": False,
        "isBlackLabelValid": False,
        "isAutogiroValid": False,
        "isAvtalegiroValid": False,
        "isBetalingsserviceValid": False,
    },
)

INTEGRATION_INFOS: Final[_Examples] = (
    {
        "creditCardMethodInfo": {
            "useCapturePreauth": True,
            "useCancelPreauth": True,
            "defaultPreauthAmount": 1.0,
            "hasSupportInitialBearer": False,
        },
        "debitMethodInfo": {
            "useCapturePreauth": False,
            "useCancelPreauth": False,
            "hasSupportInitialBearer": True,
            "supportBackendPayments": True,
            "unconfirmedLedgerForRefund": False,
            "unconfirmedLedger": True,
            "supportExternalMandateReference": True,
            "supportedExternalMandateReferenceSize": 35,
            "supportLowerCaseMandateReference": False,
        },
        "usePaymentDataConfirmationFlow": False,
        "usePaymentDataConfirmationFlowForPreauth": False,
        "supportRefunds": True,
        "supportEscalations": True,
        "preventRecurringBeforeCapture": False,
        "usesScheduledPayment": False,
        "supportMultipleTransactionOverpayments": False,
        "requiresReturnUrl": True,
        "merchantSettings": [
            {
                "displayName": "API key",
                "keyName": "ApiKey",
                "required": True,
                "placeHolder": "key_...",
            },
            {
                "displayName": "Mode",
                "keyName": "Mode",
                "required": True,
                "predefinedValues": {"live": "Live", "test": "Test"},
            },
        ],
        "hasSupportInitialBearer": True,
        "hasSupportOrderDataInPreauth": True,
        "hasSupportInvoiceData": True,
    },
)
